%% The state machine of the twin tests: an event is a program, `{do, {Label, Cases}}`, which says what happens
%% when it is handled: `Cases` are `{State, Acts}`, the state '_' standing for all others.
-module(twin_statem).
-behaviour(gen_statem).
-export([start/2, ask/1, callback_mode/0, init/1, handle_event/4, terminate/3]).
-import(twins, [event/2, call_it/2]).

start(link, Plan) -> gen_statem:start_link({local, server}, ?MODULE, Plan, []);
start(alone, Plan) -> gen_statem:start({local, server}, ?MODULE, Plan, []).

%% What `sys` is asked for. Of the timeouts only the types are told, of the data nothing.
ask(suspend) -> sys:suspend(server);
ask(resume) -> sys:resume(server);
ask(state) -> element(1, sys:get_state(server));
ask({state, New}) -> element(1, sys:replace_state(server, fun({_, Data}) -> {New, Data} end));
ask({log, Size}) -> sys:log(server, {true, Size});
ask(log) -> element(2, sys:log(server, get));
ask(waiting) ->
    {status, _, _, [_, _, _, _, Misc]} = sys:get_status(server),
    Facts = lists:append([Facts || {data, Facts} <- Misc]),
    {_, {_, Timeouts}} = lists:keyfind("Time-outs", 1, Facts),
    {_, Postponed} = lists:keyfind("Postponed", 1, Facts),
    {lists:sort([Type || {Type, _} <- Timeouts]), Postponed}.

callback_mode() ->
    [handle_event_function | [state_enter || get(state_enter)]].

%% `enter` says what each state does when it is entered: the first time, the second time, and so on.
init(#{trap := Trap, init := Acts, enter := Enter, stop := Stop}) ->
    process_flag(trap_exit, Trap),
    put(state_enter, Enter =/= none),
    call_it(server, self()),
    event(server, init),
    {Actions, Data} = carry_out(Acts, #{from => none, answered => [], enter => Enter, stop => Stop}),
    case result(Acts, Actions, Data) of
        {next_state, State, _, _} -> {ok, State, Data, Actions};
        {stop, Reason, _} -> {stop, Reason};
        {keep_state, _, _} -> no_state;
        Other -> Other
    end.

handle_event(Type, Content, State, Data) ->
    {Label, Acts, Data_1} = program(Type, Content, State, Data),
    event(server, {shown(Type), Label, State}),
    {Actions, Data_2} = carry_out(Acts, Data_1),
    result(Acts, Actions, Data_2).

terminate(Reason, State, #{stop := Stop}) ->
    event(server, {terminate, Reason, State}),
    case Stop of
        ok -> ok;
        {slow, Milliseconds} -> receive never -> ok after Milliseconds -> event(server, terminated) end;
        {exit, Why} -> exit(Why);
        crash -> error(crash)
    end.

program(enter, Old, State, #{enter := Enter} = Data) ->
    case Enter of
        #{State := [Acts | Later]} -> {Old, Acts, Data#{enter := Enter#{State := Later}}};
        #{} -> {Old, [], Data}
    end;
program({call, From}, Content, State, Data) ->
    program(call, Content, State, Data#{from := From});
program(_, {do, {Label, Cases}}, State, Data) ->
    case lists:keyfind(State, 1, Cases) of
        {_, Acts} -> {Label, Acts, Data};
        false -> {Label, proplists:get_value('_', Cases, []), Data}
    end;
program(_, Other, _, Data) ->
    {Other, [], Data}.

shown({call, _}) -> call;
shown(Type) -> Type.

%% Acts that are done at once are done; the others become actions.
carry_out(Acts, Data) ->
    {Actions, Data_1} = lists:foldl(fun act/2, {[], Data}, Acts),
    {lists:reverse(Actions), Data_1}.

act({note, What}, Done) -> event(server, {note, What}), Done;
act({send_self, Message}, Done) -> self() ! Message, Done;
act({cast_self, Program}, Done) -> gen_statem:cast(self(), {do, Program}), Done;
act({trap, Flag}, Done) -> process_flag(trap_exit, Flag), Done;
act({sleep, Milliseconds}, Done) -> receive never -> Done after Milliseconds -> Done end;
act({exit, Reason}, _) -> exit(Reason);
act(crash, _) -> error(crash);
act({reply_now, Value}, {Actions, Data}) ->
    {Replies, Data_1} = answer(Value, [], Data),
    ok = gen_statem:reply(Replies),
    {Actions, Data_1};
act({reply, Value}, {Actions, Data}) -> answer(Value, Actions, Data);
act({next_event, Type, Program}, {Actions, #{from := From} = Data}) ->
    {[{next_event, event_type(Type, From), {do, Program}} | Actions], Data};
act({event_timeout, Time, Program}, Done) -> add({timeout, Time, {do, Program}}, Done);
act({event_timeout, cancel}, Done) -> add({timeout, cancel}, Done);
act({state_timeout, Time, Program}, Done) -> add({state_timeout, Time, {do, Program}}, Done);
act({state_timeout, cancel}, Done) -> add({state_timeout, cancel}, Done);
act({timeout, Name, cancel}, Done) -> add({{timeout, Name}, cancel}, Done);
act({timeout, Name, Time, Program}, Done) -> add({{timeout, Name}, Time, {do, Program}}, Done);
act(postpone, Done) -> add(postpone, Done);
act(hibernate, Done) -> add(hibernate, Done);
act(_, Done) -> Done.

add(Action, {Actions, Data}) -> {[Action | Actions], Data}.

%% Each call is answered once: whether a second reply still finds the caller is left to chance.
answer(Value, Actions, #{from := From, answered := Answered} = Data) ->
    case From =:= none orelse lists:member(From, Answered) of
        true -> {Actions, Data};
        false -> {[{reply, From, Value} | Actions], Data#{answered := [From | Answered]}}
    end.

event_type(call, From) -> {call, From};
event_type(Type, _) -> Type.

result([], Actions, Data) -> {keep_state, Data, Actions};
result([{next_state, State} | _], Actions, Data) -> {next_state, State, Data, Actions};
result([repeat_state | _], Actions, Data) -> {repeat_state, Data, Actions};
result([ignore | _], _, _) -> ignore;
result([{stop, Reason} | _], _, Data) -> {stop, Reason, Data};
result([{stop_and_reply, Reason, Value} | _], _, Data) ->
    {Replies, Data_1} = answer(Value, [], Data),
    {stop_and_reply, Reason, Replies, Data_1};
result([{return, Value} | _], _, _) -> Value;
result([_ | Acts], Actions, Data) -> result(Acts, Actions, Data).
