// Nodes of Ergo 1.1 that the benchmark drives, with the loops of its own benchmark: `ergoside EPMD_PORT`.
// Both nodes are in this process. Built and run by contenders.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/halturin/ergo"
	"github.com/halturin/ergo/etf"
)

const (
	pairs = 120
	// A trial run is long enough when it takes this part of the time.
	share = 5
)

type server struct {
	ergo.GenServer
}

func (s *server) Init(p *ergo.Process, args ...interface{}) interface{} { return nil }

func (s *server) HandleCall(from etf.Tuple, message etf.Term, state interface{}) (string, etf.Term, interface{}) {
	return "reply", etf.Atom("ok"), state
}

func (s *server) HandleCast(message etf.Term, state interface{}) (string, interface{}) {
	return "noreply", state
}

func (s *server) HandleInfo(message etf.Term, state interface{}) (string, interface{}) {
	return "noreply", state
}

func (s *server) Terminate(reason string, state interface{}) {}

var requests = map[string]etf.Term{
	"number": 12345,
	"string": "hello world",
	"pid":    etf.Pid{Node: "node@localhost", ID: 1, Serial: 1000, Creation: byte(0)},
	"binary": make([]byte, 1<<20),
}

type pair struct {
	caller *ergo.Process
	server *ergo.Process
}

func (p pair) calls(request etf.Term, count int) error {
	for i := 0; i < count; i++ {
		if _, err := p.caller.Call(p.server.Self(), request); err != nil {
			return fmt.Errorf("call %d of %d: %v", i+1, count, err)
		}
	}
	return nil
}

func spawn(node *ergo.Node) *ergo.Process {
	process, err := node.Spawn("", ergo.ProcessOptions{}, &server{})
	if err != nil {
		panic(err)
	}
	return process
}

// start makes the pairs whose callers are on one node and whose servers are on the other.
func start(callers, servers *ergo.Node) []pair {
	started := make([]pair, pairs)
	for i := range started {
		started[i] = pair{spawn(callers), spawn(servers)}
	}
	return started
}

func timed(action func(int) error, count int) (float64, error) {
	begin := time.Now()
	err := action(count)
	return time.Since(begin).Seconds(), err
}

// filled runs the action, untimed until it is warm, then as often as fills the seconds.
func filled(seconds float64, action func(int) error, least int) (int, float64, error) {
	count := least
	took, err := timed(action, count)
	for err == nil && took < seconds/share {
		count = int(math.Ceil(float64(count) * math.Min(10, seconds/share/took*1.2)))
		took, err = timed(action, count)
	}
	if err != nil {
		return 0, 0, err
	}
	count = int(math.Max(float64(least), float64(count)*seconds/took))
	took, err = timed(action, count)
	return count, took, err
}

func parallel(started []pair, count int) error {
	errors := make(chan error, pairs)
	for _, each := range started {
		go func(each pair) { errors <- each.calls(etf.Atom("ping"), count/pairs) }(each)
	}
	var first error
	for range started {
		if err := <-errors; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func say(answer map[string]interface{}) {
	line, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func main() {
	port, err := strconv.ParseUint(os.Args[1], 10, 16)
	if err != nil {
		panic(err)
	}
	// The original's single node has no atom cache, its two nodes have; the name is not looked up.
	near := ergo.CreateNode("near@localhost", "bench", ergo.NodeOptions{EPMDPort: uint16(port)})
	far := ergo.CreateNode("far@localhost", "bench", ergo.NodeOptions{EPMDPort: uint16(port)})
	local := ergo.CreateNode("local@localhost", "bench",
		ergo.NodeOptions{EPMDPort: uint16(port), DisableHeaderAtomCache: true})
	started := map[string][]pair{"local": start(local, local), "far": start(near, far)}
	for _, each := range started {
		if err := each[0].calls(1, 1); err != nil {
			panic(err)
		}
	}
	say(map[string]interface{}{"ready": true})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var request []interface{}
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			panic(err)
		}
		if request[0] == "start" {
			for i := 0; i < int(request[1].(float64)); i++ {
				spawn(local)
			}
			say(map[string]interface{}{"count": request[1]})
			continue
		}
		row, where, seconds := request[1].(string), request[2].(string), request[3].(float64)
		action := func(count int) error { return started[where][0].calls(requests[row], count) }
		least := 1
		if row == "parallel" {
			action = func(count int) error { return parallel(started[where], count) }
			least = pairs
		}
		count, took, err := filled(seconds, action, least)
		if err != nil {
			say(map[string]interface{}{"error": err.Error()})
			continue
		}
		say(map[string]interface{}{"count": count, "seconds": took})
	}
}
