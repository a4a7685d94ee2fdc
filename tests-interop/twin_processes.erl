%% Plain processes of the twin tests: each carries out the operations it is sent, and notes every other message.
-module(twin_processes).
-export([step/1]).
-import(twins, [event/2, call_it/2, pid/1, keep/2, kept/1]).

step({spawn, Names}) ->
    [monitor(process, pid(spawn_obedient(Name))) || Name <- Names];
step({do, Name, Operations}) ->
    pid(Name) ! {do, Operations}.

spawn_obedient(Name) ->
    call_it(Name, spawn(fun() -> obey(Name) end)),
    Name.

obey(Name) ->
    receive
        {do, Operations} -> [operate(Name, Operation) || Operation <- Operations];
        Message -> event(Name, {got, Message})
    end,
    obey(Name).

operate(Name, Operation) ->
    case operation(Operation) of
        quiet -> ok;
        Result -> event(Name, {element(1, Operation), Result})
    end.

operation({link, Other}) -> quietly(link(pid(Other)));
operation({unlink, Other}) -> quietly(unlink(pid(Other)));
operation({monitor, Other}) -> own({Other, ref}, monitor(process, pid(Other)));
operation({monitor_name, Name}) -> own({Name, ref}, monitor(process, Name));
%% OTP 23, which has no aliases, compiles this: their functions are named with their module.
operation({monitor_alias, Other, Mode}) ->
    Ref = erlang:monitor(process, pid(Other), [{alias, Mode}]),
    keep({alias, Other}, Ref),
    own({Other, ref}, Ref);
operation({demonitor, Other}) -> quietly(demonitor(get({Other, ref})));
operation({demonitor_info, Other}) -> demonitor(get({Other, ref}), [info]);
operation({demonitor_flush, Other}) -> quietly(demonitor(get({Other, ref}), [flush]));
operation({exit, Other, Reason}) -> quietly(exit(pid(Other), Reason));
operation({exit_self, Reason}) -> quietly(exit(self(), Reason));
operation({'end', Reason}) -> exit(Reason);
operation(crash) -> error(crash);
operation({trap, Flag}) -> process_flag(trap_exit, Flag);
operation({send, Other, What}) -> quietly(pid(Other) ! What);
operation({send_name, Name, What}) ->
    try Name ! What, sent catch error:badarg -> sent end;
operation({register, Name, Other}) ->
    try register(Name, pid(Other)) catch error:badarg -> badarg end;
operation({unregister, Name}) ->
    try unregister(Name) catch error:badarg -> false end;
operation({whereis, Name}) -> whereis(Name);
operation({alive, Other}) -> is_process_alive(pid(Other));
operation({alias, Name}) -> quietly(keep({alias, Name}, erlang:alias()));
operation({unalias, Name}) -> erlang:unalias(kept({alias, Name}));
operation({send_alias, Name, What}) -> quietly(kept({alias, Name}) ! What);
operation({spawn, Name}) -> quietly(spawn_obedient(Name));
operation({spawn_link, Name}) -> call_it(Name, spawn_link(fun() -> obey(Name) end)), quiet;
operation({spawn_monitor, Name}) ->
    {Pid, Ref} = spawn_monitor(fun() -> obey(Name) end),
    call_it(Name, Pid),
    own({Name, ref}, Ref);
operation({flush, Other}) ->
    Pid = pid(Other),
    receive {'EXIT', Pid, _} -> quiet after 0 -> quiet end.

quietly(_) -> quiet.
own(Key, Value) -> put(Key, Value), quiet.
