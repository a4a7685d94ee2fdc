%% A gen_statem for the tests: who wants to enter waits until the latch is lifted.
-module(latch).
-behaviour(gen_statem).
-export([callback_mode/0, init/1, shut/3, open/3]).

callback_mode() ->
    state_functions.

init([]) ->
    {ok, shut, 0}.

shut({call, _From}, enter, _Lifted) ->
    {keep_state_and_data, [postpone]};
shut(cast, lift, Lifted) ->
    {next_state, open, Lifted + 1}.

open({call, From}, enter, Lifted) ->
    {keep_state_and_data, [{reply, From, {come_in, Lifted}}]}.
