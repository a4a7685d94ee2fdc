%% A gen_server that Python nodes call: answers, counts casts, forwards, dies on demand.
-module(echo_server).
-behaviour(gen_server).
-export([start/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% Not linked, so that it may crash without taking its starter along.
start(Name) ->
    gen_server:start({local, Name}, ?MODULE, [], []).

init([]) ->
    {ok, []}.

handle_call(taken, _From, Seen) ->
    {reply, lists:reverse(Seen), Seen};
handle_call({stop, Reason}, _From, Seen) ->
    {stop, Reason, stopping, Seen};
handle_call({crash, Reason}, _From, _Seen) ->
    exit(Reason);
handle_call(silence, _From, Seen) ->
    {noreply, Seen};
handle_call(Request, _From, Seen) ->
    {reply, {echo, Request}, Seen}.

handle_cast(Message, Seen) ->
    {noreply, [{cast, Message} | Seen]}.

handle_info(Message, Seen) ->
    {noreply, [{info, Message} | Seen]}.
