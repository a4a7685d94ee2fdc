%% A node of Erlang/OTP that the benchmark drives: the same loops as python_side.py, on gen_server:call/2.
%% Compiled and run by contenders.py. A request is a JSON array of strings and numbers, which is an Erlang
%% term as well.
-module(otp_side).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2]).

-define(PAIRS, 120).
-define(CALLERS, 50).
-define(SHARE, 5).

init(Kind) -> {ok, {Kind, 0}}.

handle_call(_, _, {server, _} = State) -> {reply, ok, State};
handle_call(Request, _, {echo, _} = State) -> {reply, Request, State};
handle_call(_, _, {sink, Casts}) -> {reply, Casts, {sink, 0}}.

handle_cast(_, {Kind, Casts}) -> {noreply, {Kind, Casts + 1}}.

main() -> spawn(fun start/0).

start() ->
    [{ok, _} = gen_server:start({local, Name}, ?MODULE, Name, []) || Name <- [server, echo, sink]],
    [{ok, _} = gen_server:start({local, pair(N)}, ?MODULE, server, []) || N <- lists:seq(1, ?PAIRS)],
    io:format("{\"ready\": true, \"release\": \"~s\"}~n", [erlang:system_info(otp_release)]),
    serve().

serve() ->
    case io:get_line("") of
        eof -> halt();
        Line ->
            {ok, Tokens, _} = erl_scan:string(Line ++ "."),
            {ok, [Request | Args]} = erl_parse:parse_term(Tokens),
            try answer(Request, Args)
            catch Class:Reason -> io:format("{\"error\": \"~s\"}~n", [plain({Class, Reason})])
            end,
            serve()
    end.

%% As text without what JSON would have to escape.
plain(Term) -> [C || C <- lists:flatten(io_lib:format("~0p", [Term])), C =/= $", C =/= $\\, C >= 32].

answer("measure", [Row, Where, Seconds]) -> counted(measure(Row, Where, Seconds));
answer("connect", [Where, Seconds]) -> counted(connect(list_to_atom(Where), Seconds * 1.0e9, 0, 0));
answer("latency", [Where, Seconds]) ->
    Sorted = lists:sort(latency(Where, Seconds)),
    Part = fun(Percent) -> lists:nth(length(Sorted) * Percent div 100 + 1, Sorted) / 1000 end,
    io:format("{\"p50\": ~.3f, \"p90\": ~.3f, \"p99\": ~.3f}~n", [Part(50), Part(90), Part(99)]);
answer("start", [Count]) ->
    [{ok, _} = gen_server:start(?MODULE, server, []) || _ <- lists:seq(1, Count)],
    io:format("{\"count\": ~b}~n", [Count]).

counted({Count, Nanoseconds}) ->
    io:format("{\"count\": ~b, \"seconds\": ~.9f}~n", [Count, Nanoseconds / 1.0e9]).

request("number") -> 12345;
request("string") -> "hello world";
request("binary") -> binary:copy(<<0>>, 1 bsl 20);
request("echo 1 MB") -> binary:copy(<<0>>, 1 bsl 20);
request("echo 16 MB") -> binary:copy(<<0>>, 1 bsl 24);
request("cast") -> ping;
request("cast 1 KB") -> binary:copy(<<0>>, 1024);
%% Pid{node@localhost, 1, 1000, 0}: a pid of a node that does not exist.
request("pid") -> binary_to_term(<<131, 88, 119, 14, "node@localhost", 1:32, 1000:32, 0:32>>).

pair(N) -> list_to_atom("pair" ++ integer_to_list(N - 1)).

to(Name, "local") -> whereis(Name);
to(Name, Where) -> erpc:call(list_to_atom(Where), erlang, whereis, [Name]).

measure("parallel", Where, Seconds) ->
    Servers = [to(pair(N), Where) || N <- lists:seq(1, ?PAIRS)],
    filled(Seconds, fun(Count) -> pairs(Servers, Count div ?PAIRS) end, ?PAIRS);
measure("cast" ++ _ = Row, Where, Seconds) ->
    Sink = to(sink, Where),
    Message = request(Row),
    filled(Seconds, fun(Count) ->
        casts(Sink, Message, Count),
        Count = gen_server:call(Sink, count, 60000)
    end, 1);
measure("echo" ++ _ = Row, Where, Seconds) ->
    Echo = to(echo, Where),
    Request = request(Row),
    Request = gen_server:call(Echo, Request),
    filled(Seconds, fun(Count) -> calls(Echo, Request, Count) end, 1);
measure(Row, Where, Seconds) ->
    Server = to(server, Where),
    Request = request(Row),
    ok = gen_server:call(Server, Request),
    filled(Seconds, fun(Count) -> calls(Server, Request, Count) end, 1).

calls(_, _, 0) -> ok;
calls(Server, Request, Count) -> gen_server:call(Server, Request), calls(Server, Request, Count - 1).

casts(_, _, 0) -> ok;
casts(Sink, Message, Count) -> gen_server:cast(Sink, Message), casts(Sink, Message, Count - 1).

pairs(Servers, Count) -> in_processes([fun() -> calls(Server, ping, Count) end || Server <- Servers]).

in_processes(Funs) ->
    Started = [spawn_monitor(Fun) || Fun <- Funs],
    [receive {'DOWN', Ref, process, Pid, normal} -> ok end || {Pid, Ref} <- Started].

%% Run it, untimed until it is warm, then as often as fills the seconds.
filled(Seconds, Fun, Least) -> filled(Seconds * 1.0e9, Fun, Least, Least).

filled(Wanted, Fun, Least, Count) ->
    case timed(Fun, Count) of
        Took when Took * ?SHARE < Wanted ->
            filled(Wanted, Fun, Least, ceil(Count * min(10, Wanted / ?SHARE / max(1, Took) * 1.2)));
        Took ->
            Full = max(Least, trunc(Count * Wanted / Took)),
            {Full, timed(Fun, Full)}
    end.

timed(Fun, Count) ->
    Begin = erlang:monotonic_time(nanosecond),
    Fun(Count),
    erlang:monotonic_time(nanosecond) - Begin.

latency(Where, Seconds) ->
    Main = self(),
    End = erlang:monotonic_time(nanosecond) + trunc(Seconds * 1.0e9),
    in_processes([fun() -> Main ! {times, caller(to(pair(N), Where), End, [])} end
                  || N <- lists:seq(1, ?CALLERS)]),
    lists:append([receive {times, Times} -> Times end || _ <- lists:seq(1, ?CALLERS)]).

caller(Server, End, Times) ->
    Begin = erlang:monotonic_time(nanosecond),
    case Begin < End of
        true ->
            ok = gen_server:call(Server, ping),
            caller(Server, End, [erlang:monotonic_time(nanosecond) - Begin | Times]);
        false -> Times
    end.

connect(Node, Wanted, Spent, Count) when Spent < Wanted ->
    erlang:disconnect_node(Node),
    Begin = erlang:monotonic_time(nanosecond),
    true = net_kernel:connect_node(Node),
    connect(Node, Wanted, Spent + erlang:monotonic_time(nanosecond) - Begin, Count + 1);
connect(_, _, Spent, Count) -> {Count, Spent}.
