%% The same loops in Erlang: prints `name microseconds` lines. Compiled and run by __main__.py.
-module(otp_side).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2]).

init(N) -> {ok, N}.
handle_call(_, _, N) -> {reply, N, N}.
handle_cast(_, N) -> {noreply, N}.

main() ->
    {ok, Server} = gen_server:start(?MODULE, 10, []),
    calls(Server, 2000),
    show("call", timed(100000, fun(N) -> calls(Server, N) end)),
    show("cast", timed(100000, fun(N) -> casts(Server, N), gen_server:call(Server, get) end)),
    show("pairs", timed(120 * 1000, fun(N) -> pairs(N div 120) end)),
    show("start", timed(20000, fun starts/1)),
    halt().

timed(N, F) ->
    Begin = erlang:monotonic_time(nanosecond),
    F(N),
    (erlang:monotonic_time(nanosecond) - Begin) / N / 1000.

show(Name, Microseconds) -> io:format("~s ~.4f~n", [Name, Microseconds]).

calls(_, 0) -> ok;
calls(Server, N) -> gen_server:call(Server, get), calls(Server, N - 1).

casts(_, 0) -> ok;
casts(Server, N) -> gen_server:cast(Server, add), casts(Server, N - 1).

pairs(N) ->
    Pairs = [spawn_monitor(fun() ->
                 {ok, Server} = gen_server:start(?MODULE, 10, []),
                 calls(Server, N)
             end) || _ <- lists:seq(1, 120)],
    [receive {'DOWN', Ref, process, Pid, _} -> ok end || {Pid, Ref} <- Pairs].

starts(0) -> ok;
starts(N) -> {ok, _} = gen_server:start(?MODULE, N, []), starts(N - 1).
