%% Plays the scenarios of the twin tests under OTP and writes down what happened.
%%
%% A scenario is data: {Id, Family, Steps}. The output is a file of records, written after each scenario, or
%% one by one where a scenario may take the node down:
%%
%%   {scenario, Id}  {step, N}  {event, Who, What}  {name, Pid, Name}  over
%%
%% The node runs with one scheduler (`+S 1`), so that what happens has one order. A step is over when every
%% process of the scenario waits and every supervisor has answered a call.
-module(twins).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).
-export([event/2, call_it/2, pid/1, keep/2, kept/1]).
-export([start_worker/2, start_worker/3, start_tree/1]).
-export([log/2]).
-export([start/2, start_phase/3, prep_stop/1, stop/1]).

-define(LONG, 10000).

main() ->
    [In, Out] = init:get_plain_arguments(),
    {ok, Input} = file:read_file(In),
    %% A process that waits for the code server would seem to have nothing to do.
    ok = logger:add_handler(twins, ?MODULE, #{}),
    %% It stands in for the default handler, and prints every report.
    _ = logger:remove_handler(simple),
    [code:ensure_modules_loaded(modules(App)) || App <- [kernel, stdlib]],
    twins_board = ets:new(twins_board, [named_table, public]),
    twins_log = ets:new(twins_log, [named_table, public, ordered_set]),
    ets:insert(twins_board, [{out, Out}, {written, 0}]),
    lists:foreach(fun play/1, binary_to_term(Input)),
    halt().

modules(App) ->
    {ok, Modules} = application:get_key(App, modules),
    Modules.

play({Id, Family, Steps}) ->
    ets:insert(twins_board, [{family, Family}, {events, 0}, {baseline, [self() | processes()]}]),
    write({scenario, Id}),
    {Driver, Ref} = spawn_monitor(fun() -> drive(Family, Steps) end),
    receive
        {'DOWN', Ref, process, Driver, _} -> ok
    after 2 * ?LONG ->
        exit(Driver, kill),
        event(driver, stuck)
    end,
    [application:stop(App) || {{app, App}, _} <- ets:tab2list(twins_board)],
    [application:unload(App) || {{app, App}, _} <- ets:tab2list(twins_board)],
    [exit(Pid, kill) || Pid <- processes() -- lookup(baseline)],
    [ets:delete(twins_board, Key) || {Key, _} <- ets:tab2list(twins_board), is_tuple(Key)],
    flush().

drive(Family, Steps) ->
    process_flag(trap_exit, true),
    lists:foldl(
        fun(Step, N) ->
            write({step, N}),
            case catch step(Family, Step) of
                {'EXIT', Why} -> event(driver, {failed, Why});
                _ -> ok
            end,
            settle(),
            drain(),
            show(Family),
            N + 1
        end,
        0,
        Steps
    ),
    write(over).

%% The log

write(Record) ->
    Number = ets:update_counter(twins_board, written, 1),
    ets:insert(twins_log, {Number, Record}),
    %% An application can take the node down at any time.
    lookup(family) =:= application andalso flush().

flush() ->
    Data = [term_to_binary(Record) || {_, Record} <- ets:tab2list(twins_log)],
    ok = file:write_file(lookup(out), [[<<(byte_size(Each)):32>>, Each] || Each <- Data], [append, raw]),
    ets:delete_all_objects(twins_log).

event(Who, What) ->
    ets:update_counter(twins_board, events, 1),
    write({event, Who, What}).

%% A handler of `logger`, called by the process that reports. What a supervisor reports belongs to its log.
log(#{msg := {report, #{label := {supervisor, Context}, report := Report}}}, _) ->
    #{supervisor := Supervisor, reason := Reason, offender := Child} = maps:from_list(Report),
    {local, Name} = Supervisor,
    ets:member(twins_board, {sup, Name}) andalso
        event(Name, {report, Context, proplists:get_value(id, Child), Reason});
log(_, _) ->
    ok.

keep(Key, Value) -> ets:insert(twins_board, {Key, Value}).
kept(Key) -> lookup(Key).

lookup(Key) ->
    [{Key, Value}] = ets:lookup(twins_board, Key),
    Value.

call_it(Name, Pid) ->
    ets:insert(twins_board, {{pid, Name}, Pid}),
    write({name, Pid, Name}).

pid(Name) -> lookup({pid, Name}).

%% When a step is over

settle() ->
    quiet(0),
    Before = lookup(events),
    [catch supervisor:which_children(Name) || Name <- supervisors()],
    quiet(0),
    case lookup(events) of
        Before -> ok;
        _ -> settle()
    end.

quiet(2) ->
    ok;
quiet(Times) ->
    erlang:yield(),
    Mine = (processes() -- lookup(baseline)) -- [self()],
    case [Pid || Pid <- Mine, not waits(process_info(Pid, status))] of
        [] -> quiet(Times + 1);
        _ -> quiet(0)
    end.

waits(undefined) -> true;
waits({status, Status}) -> Status =:= waiting.

drain() ->
    receive
        Message -> event(driver, Message), drain()
    after 0 -> ok
    end.

supervisors() -> [Name || {{sup, Name}, _} <- ets:tab2list(twins_board), whereis(Name) =/= undefined].

%% What each step leaves behind

show(supervisor) ->
    [show_supervisor(Name) || Name <- lists:sort([Name || {{sup, Name}, _} <- ets:tab2list(twins_board)])];
show(application) ->
    Running = [App || {App, _, _} <- application:which_applications(), ets:member(twins_board, {app, App})],
    Alive = [Name || {{pid, Name}, Pid} <- ets:tab2list(twins_board), is_process_alive(Pid)],
    event(driver, {running, Running}),
    event(driver, {alive, lists:sort(Alive)});
show(_) ->
    ok.

show_supervisor(Name) ->
    case whereis(Name) of
        undefined ->
            event(Name, gone);
        _ ->
            event(Name, {children, supervisor:which_children(Name)}),
            event(Name, {counts, supervisor:count_children(Name)})
    end.

%% Steps

%% What takes time is awaited: until so many events have been written since the step began.
step(Family, {until, Count, Step}) ->
    Goal = lookup(events) + Count,
    step(Family, Step),
    await(Goal, erlang:monotonic_time(millisecond) + ?LONG);
step(supervisor, {start, Tree}) ->
    Result = start_tree(Tree),
    forget_failed(Result),
    event(driver, {started, Result});
step(supervisor, {'end', Child, How}) ->
    finish(pid(Child), How);
step(supervisor, {ask, Supervisor, Command, Argument}) ->
    event(driver, {answer, try ask(Supervisor, Command, Argument) catch exit:Reason -> {exit, Reason} end});
step(supervisor, {exit, Supervisor, Reason}) ->
    case whereis(Supervisor) of
        undefined -> event(driver, nobody);
        Pid -> exit(Pid, Reason)
    end;
step(supervisor, {stop, Supervisor, Reason}) ->
    event(driver, {stopped, try gen_server:stop(Supervisor, Reason, infinity) catch exit:Why -> {exit, Why} end});
step(server, Step) ->
    server_step(Step);
step(statem, {start, How, Plan}) ->
    started(How, twin_statem:start(How, Plan));
step(statem, {sys, Request}) ->
    event(driver, {sys, try twin_statem:ask(Request) catch exit:_ -> gone end});
step(statem, Step) ->
    server_step(Step);
step(process, Step) ->
    twin_processes:step(Step);
step(application, Step) ->
    application_step(Step).

await(Goal, Deadline) ->
    case lookup(events) >= Goal orelse erlang:monotonic_time(millisecond) > Deadline of
        true -> ok;
        false -> receive never -> ok after 1 -> await(Goal, Deadline) end
    end.

%% The exit message of who did not start: OTP 26 and later take it away themselves, and leave none to forget.
forget_failed({ok, _}) -> ok;
forget_failed({error, {already_started, _}}) -> ok;
forget_failed(_) ->
    case list_to_integer(erlang:system_info(otp_release)) of
        Release when Release >= 26 -> ok;
        _ -> receive {'EXIT', _, _} -> ok after ?LONG -> event(driver, stuck) end
    end.

ask(Supervisor, start_child, Spec) when is_tuple(Spec) ->
    case supervisor:start_child(Supervisor, child_spec(Spec)) of
        {error, {Reason, Child}} when element(1, Child) =:= child -> {error, Reason};
        Answer -> Answer
    end;
ask(Supervisor, get_childspec, {pid, Name}) ->
    childspec(supervisor:get_childspec(Supervisor, pid(Name)));
ask(Supervisor, get_childspec, Id) ->
    childspec(supervisor:get_childspec(Supervisor, Id));
ask(Supervisor, Command, {pid, Name}) ->
    supervisor:Command(Supervisor, pid(Name));
ask(Supervisor, Command, Argument) ->
    supervisor:Command(Supervisor, Argument).

%% What starts the child differs by nature.
childspec({ok, Spec}) -> {ok, lists:sort(maps:to_list(maps:without([start, modules], Spec)))};
childspec(Error) -> Error.

finish(Pid, {signal, Reason}) -> exit(Pid, Reason);
finish(Pid, How) -> gen_server:cast(Pid, {finish, How}).

%% Supervisors and their workers

start_tree({sup, Name, _, _, _, _, _} = Tree) ->
    ets:insert(twins_board, {{sup, Name}, true}),
    supervisor:start_link({local, Name}, ?MODULE, {tree, Tree}).

child_spec({Id, Start, Restart, Shutdown, Significant}) ->
    {MFA, Type} = case Start of
        {worker, Plan} -> {{?MODULE, start_worker, [Plan, Id]}, worker};
        {template, Plan} -> {{?MODULE, start_worker, [Plan]}, worker};
        Tree -> {{?MODULE, start_tree, [Tree]}, supervisor}
    end,
    #{id => Id, start => MFA, restart => Restart, shutdown => Shutdown, significant => Significant, type => Type}.

start_worker(Plan, Name) ->
    gen_server:start_link(?MODULE, {worker, Plan, Name}, []).

start_worker(Plan, _, Name) ->
    start_worker(Plan, Name).

%% How many times a worker of this name has been started; its plan has an entry for each.
incarnation(Name, Inits) ->
    N = ets:update_counter(twins_board, {count, Name}, 1, {{count, Name}, 0}),
    event(Name, {init, N}),
    lists:nth(min(N, length(Inits)), Inits).

init({tree, {sup, Name, Strategy, Intensity, Period, AutoShutdown, Children}}) ->
    call_it(Name, self()),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => AutoShutdown},
    {ok, {Flags, [child_spec(Child) || Child <- Children]}};
init({worker, #{init := Inits, trap := Trap, stop := Stop}, Name}) ->
    process_flag(trap_exit, Trap),
    call_it(Name, self()),
    case incarnation(Name, Inits) of
        ok -> {ok, #{name => Name, stop => Stop}};
        ignore -> ignore;
        {stop, Reason} -> {stop, Reason};
        {exit, Reason} -> exit(Reason);
        crash -> error(crash)
    end;
init({server, #{trap := Trap, init := {Acts, Result}, stop := Stop}}) ->
    process_flag(trap_exit, Trap),
    call_it(server, self()),
    State = #{name => server, stop => Stop},
    event(server, init),
    act(Acts, none),
    case Result of
        ok -> {ok, State};
        {timeout, Milliseconds} -> {ok, State, Milliseconds};
        hibernate -> {ok, State, hibernate};
        {continue, Program} -> {ok, State, {continue, Program}};
        ignore -> ignore;
        {stop, Reason} -> {stop, Reason};
        {exit, Reason} -> exit(Reason);
        crash -> error(crash)
    end.

handle_call({do, {Acts, Result}}, From, State) ->
    event(server, call),
    act(Acts, From),
    result(Result, State#{from => From}).

handle_cast({finish, {stop, Reason}}, State) -> {stop, Reason, State};
handle_cast({finish, {exit, Reason}}, _) -> exit(Reason);
handle_cast({finish, crash}, _) -> error(crash);
handle_cast({answer, Value}, #{from := From} = State) ->
    gen_server:reply(From, Value),
    {noreply, State};
handle_cast({do, {Acts, Result}}, State) ->
    event(server, cast),
    act(Acts, none),
    result(Result, State).

handle_info({do, {Acts, Result}}, State) ->
    event(server, info),
    act(Acts, none),
    result(Result, State);
handle_info(Message, #{name := Name} = State) ->
    event(Name, {info, Message}),
    {noreply, State}.

handle_continue({Acts, Result}, State) ->
    event(server, continue),
    act(Acts, none),
    result(Result, State).

terminate(Reason, #{name := Name, stop := Stop}) ->
    event(Name, {terminate, Reason}),
    case Stop of
        ok -> ok;
        {slow, Milliseconds} -> receive never -> ok after Milliseconds -> event(Name, terminated) end;
        hang -> receive never -> ok end;
        {exit, Why} -> exit(Why);
        crash -> error(crash)
    end.

%% gen_server: a message is the program of the callback it causes

act(Acts, From) -> [do_act(Act, From) || Act <- Acts].

do_act({note, What}, _) -> event(server, {note, What});
do_act({reply, Value}, From) -> gen_server:reply(From, Value);
do_act({trap, Flag}, _) -> process_flag(trap_exit, Flag);
do_act({cast_self, Program}, _) -> gen_server:cast(self(), {do, Program});
do_act({send_self, Message}, _) -> self() ! Message.

result({reply, Value}, State) -> {reply, Value, State};
result({reply, Value, {timeout, Milliseconds}}, State) -> {reply, Value, State, Milliseconds};
result({reply, Value, hibernate}, State) -> {reply, Value, State, hibernate};
result({reply, Value, {continue, Program}}, State) -> {reply, Value, State, {continue, Program}};
result(noreply, State) -> {noreply, State};
result({timeout, Milliseconds}, State) -> {noreply, State, Milliseconds};
result(hibernate, State) -> {noreply, State, hibernate};
result({continue, Program}, State) -> {noreply, State, {continue, Program}};
result({stop, Reason}, State) -> {stop, Reason, State};
result({stop, Reason, Value}, State) -> {stop, Reason, Value, State};
result({exit, Reason}, _) -> exit(Reason);
result(crash, _) -> error(crash).

server_step({start, link, Plan}) ->
    started(link, gen_server:start_link({local, server}, ?MODULE, {server, Plan}, []));
server_step({start, alone, Plan}) ->
    started(alone, gen_server:start({local, server}, ?MODULE, {server, Plan}, []));
server_step({call, Client, To, Program, Timeout}) ->
    client(Client, fun() -> gen_server:call(server_ref(To), {do, Program}, Timeout) end);
server_step({stop, Client, Reason}) ->
    client(Client, fun() -> gen_server:stop(server, Reason, ?LONG) end);
server_step({exit_client, Client, Reason}) ->
    pid(Client) ! {leave, Reason};
server_step({cast, Program}) ->
    gen_server:cast(server, {do, Program});
server_step({info, Message}) ->
    %% Sending to a name that nobody has is an error in Erlang only.
    (catch server ! Message),
    ok;
server_step({answer, Value}) ->
    gen_server:cast(server, {answer, Value});
server_step({watch, Client, How, Trap}) ->
    Server = server_ref(pid),
    spawn_client(Client, fun() ->
        process_flag(trap_exit, Trap),
        case How of
            link -> link(Server);
            monitor -> monitor(process, Server);
            monitor_name -> monitor(process, server)
        end
    end);
server_step({signal, Reason}) ->
    exit(server_ref(pid), Reason);
server_step({signal_client, Client, Reason}) ->
    exit(pid(Client), Reason).

started(How, Result) ->
    How =:= link andalso forget_failed(Result),
    event(driver, {started, Result}).

server_ref(pid) -> pid(server);
server_ref(Name) -> Name.

client(Name, Request) ->
    spawn_client(Name, fun() ->
        event(Name, try {ok, Request()} catch exit:Reason -> {exit, Reason} end)
    end).

spawn_client(Name, Begin) ->
    Pid = spawn(fun() ->
        receive go -> ok end,
        Begin(),
        listen(Name)
    end),
    call_it(Name, Pid),
    monitor(process, Pid),
    Pid ! go.

listen(Name) ->
    receive
        {leave, Reason} -> exit(Reason);
        Message -> event(Name, {got, Message}), listen(Name)
    end.

%% Applications

application_step({load, Specs}) ->
    [load(Spec) || Spec <- Specs];
application_step({start, App, Type}) ->
    Result = start_with_dependencies(App, Type),
    Result =:= ok orelse remove_orphan(App),
    event(driver, {started, Result});
application_step({stop, App}) ->
    event(driver, {stopped, application:stop(App)});
application_step({'end', Child, How}) ->
    finish(pid(Child), How).

load({App, Options} = Spec) ->
    ets:insert(twins_board, {{app, App}, true}),
    Phases = case Options of
        #{phases := Results} -> [{start_phases, [{Phase, {App, Result}} || {Phase, Result} <- Results]}];
        _ -> []
    end,
    ok = application:load({application, App, [
        {mod, {?MODULE, Spec}},
        {applications, [kernel, stdlib | maps:get(depends, Options, [])]},
        {maxT, maps:get(lifespan, Options, infinity)}
        | Phases
    ]}).

%% Dependencies that do not run yet are started as temporary, in their order.
start_with_dependencies(App, Type) ->
    {ok, Depends} = application:get_key(App, applications),
    case start_all(Depends -- [kernel, stdlib]) of
        ok -> application:start(App, Type);
        Error -> Error
    end.

%% OTP forgets the tree of an application whose start phase has failed, and lets it run; ours stops it.
remove_orphan(App) ->
    {ok, {_, {_, Options}}} = application:get_key(App, mod),
    Worker = maps:get(worker, Options),
    Running = lists:keymember(App, 1, application:which_applications()),
    [exit(Pid, kill) || not Running, {{pid, Name}, Pid} <- ets:tab2list(twins_board), Name =:= Worker].

start_all([]) -> ok;
start_all([App | Rest]) ->
    case start_with_dependencies(App, temporary) of
        {error, {already_started, App}} -> start_all(Rest);
        ok -> start_all(Rest);
        Error -> Error
    end.

start(_Type, {App, #{tree := Tree} = Options}) ->
    event(App, start),
    Result = case Tree of
        {worker, Plan} -> start_worker(Plan, maps:get(worker, Options));
        _ -> start_tree(Tree)
    end,
    case Result of
        {ok, Pid} -> {ok, Pid, {App, Options}};
        Other -> Other
    end.

start_phase(Phase, _Type, {App, Result}) ->
    event(App, {phase, Phase}),
    outcome(Result).

prep_stop({App, Options} = State) ->
    event(App, prep_stop),
    outcome(maps:get(prep_stop, Options, ok)),
    State.

stop({App, Options}) ->
    event(App, stop),
    outcome(maps:get(stop, Options, ok)).

outcome(ok) -> ok;
outcome({error, Reason}) -> {error, Reason};
outcome({exit, Reason}) -> exit(Reason);
outcome(crash) -> error(crash).
