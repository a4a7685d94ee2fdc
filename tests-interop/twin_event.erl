%% The event handler of the twin tests: an event, a call or a message is `{do, Acts}`, which says by the name of
%% each handler what it does. All that happens is told to the process `log` of its plan.
-module(twin_event).
-behaviour(gen_event).
-export([start/0, init/1, handle_event/2, handle_call/2, handle_info/2, terminate/2]).

start() ->
    {ok, Manager} = gen_event:start(),
    Manager.

init({#{} = Plan, Left}) -> start(Plan, {after_other, Left});
init(Plan) -> start(Plan, alone).

start(#{init := Act} = Plan, How) ->
    tell(Plan, {init, How}),
    case Act of
        keep -> {ok, Plan};
        hibernate -> {ok, Plan, hibernate};
        Other -> fail(Other)
    end.

handle_event(Event, Plan) ->
    tell(Plan, {event, Event}),
    case act(Event, Plan) of
        {swap, Argument, Handler, NewArgument} -> {swap_handler, Argument, Plan, Handler, NewArgument};
        Other -> Other
    end.

handle_call(Request, #{name := Name} = Plan) ->
    tell(Plan, {call, Request}),
    Reply = {reply, Name},
    case act(Request, Plan) of
        {ok, New} -> {ok, Reply, New};
        {ok, New, hibernate} -> {ok, Reply, New, hibernate};
        remove_handler -> {remove_handler, Reply};
        {swap, Argument, Handler, NewArgument} -> {swap_handler, Reply, Argument, Plan, Handler, NewArgument};
        Other -> Other
    end.

handle_info(Message, Plan) ->
    tell(Plan, {info, Message}),
    case act(Message, Plan) of
        {swap, Argument, Handler, NewArgument} -> {swap_handler, Argument, Plan, Handler, NewArgument};
        Other -> Other
    end.

terminate(Argument, #{stop := Act, name := Name} = Plan) ->
    tell(Plan, {terminate, Argument}),
    case Act of
        keep -> {left, Name};
        Other -> fail(Other)
    end.

act({do, Acts}, #{name := Name} = Plan) ->
    case maps:get(Name, Acts, keep) of
        keep -> {ok, Plan};
        hibernate -> {ok, Plan, hibernate};
        remove -> remove_handler;
        {mail, Message} -> self() ! Message, {ok, Plan};
        {swap, _, _, _} = Swap -> Swap;
        Other -> fail(Other)
    end;
act(_, Plan) -> {ok, Plan}.

fail({exit, Reason}) -> exit(Reason);
fail({return, Term}) -> Term;
fail({error, Reason}) -> {error, Reason};
fail(ignore) -> ignore;
fail(crash) -> error(crash).

tell(#{log := Log, name := Name}, What) -> Log ! {log, Name, What}.
