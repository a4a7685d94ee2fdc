%% What OTP logs of servers, supervisors and applications that start, crash and stop, for test_twins_reports.
%%
%% play/0 carries out the same steps as the test does with ours and returns the reports in order. A process
%% logs before it ends, so all of a step is there when the supervisor has answered a call after it.
-module(twin_reports).
-export([play/0, log/2, start/2, stop/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2]).

play() ->
    twin_reports = ets:new(twin_reports, [named_table, public, ordered_set]),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, info),
    ok = logger:add_handler(twin_reports, ?MODULE, #{}),
    {ok, Top} = supervisor:start_link({local, top}, ?MODULE, top),
    step(fun() -> gen_server:cast(w7, {stop, bad}) end),
    step(fun() -> w7 ! {stop, bad} end),
    step(fun() -> catch gen_server:call(w7, {stop, bad}) end),
    step(fun() -> gen_server:call(w7, continue) end),
    step(fun() -> gen_server:stop(w7, weird, infinity) end),
    step(fun() -> gen_server:cast(w7, bond) end),
    step(fun() -> exit(whereis(w7), ouch) end),
    {error, _} = supervisor:start_child(top, child(bad, [])),
    ok = supervisor:terminate_child(top, w8),
    {ok, _} = supervisor:restart_child(top, w8),
    ok = application:load({application, shop, [{mod, {?MODULE, []}}, {applications, [kernel, stdlib]}]}),
    ok = application:start(shop),
    ok = application:stop(shop),
    unlink(Top),
    exit(Top, shutdown),
    ok = logger:remove_handler(twin_reports),
    ok = logger:set_primary_config(level, Level),
    [Report || {_, Report} <- ets:tab2list(twin_reports)].

step(Act) ->
    Ref = monitor(process, w7),
    Act(),
    receive {'DOWN', Ref, _, _, _} -> ok end,
    supervisor:which_children(top).

log(#{msg := {report, Report}}, _) ->
    ets:insert(twin_reports, {erlang:unique_integer([monotonic]), Report});
log(_, _) ->
    ok.

start(_, _) -> supervisor:start_link(?MODULE, none).
stop(_) -> ok.

child(Id, Options) ->
    maps:merge(#{id => Id, start => {gen_server, start_link, [{local, Id}, ?MODULE, Id, []]}}, maps:from_list(Options)).

init(top) ->
    Children = [child(w7, []), child(w8, [{restart, transient}, {shutdown, brutal_kill}])],
    {ok, {#{intensity => 10, period => 10}, Children}};
init(none) -> {ok, {#{}, []}};
init(bad) -> {stop, refused};
init(_) -> {ok, #{secret => 1}}.

handle_call(continue, _, S) -> {reply, ok, S, {continue, x}};
handle_call({stop, Reason}, _, S) -> {stop, Reason, S}.
handle_cast(bond, S) ->
    proc_lib:spawn_link(fun() -> receive never -> ok end end),
    {stop, bad, S};
handle_cast({stop, Reason}, S) -> {stop, Reason, S}.
handle_info({stop, Reason}, S) -> {stop, Reason, S}.
handle_continue(x, S) -> {stop, bad, S}.
