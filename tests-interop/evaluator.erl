%% Evaluates Erlang expressions for the tests, which talk to it over standard input and output.
%%
%%   request, one line:  Id " " Base64(ExpressionText)
%%   answer, one line:   "=> " Id " " Base64(term_to_binary({ok, Value} | {error, Text}))
%%
%% One process, registered as `evaluator`, evaluates them all. Like the shell's it traps exits and keeps
%% its variables and its mailbox from one request to the next. The node halts when standard input ends,
%% so that no node outlives the test run that started it.
-module(evaluator).
-export([start/0]).

start() ->
    register(evaluator, spawn(fun init/0)),
    spawn(fun read/0).

read() ->
    case io:get_line(standard_io, "") of
        Line when is_list(Line) ->
            [Id, Text] = string:lexemes(Line, " \n"),
            evaluator ! {?MODULE, Id, unicode:characters_to_list(base64:decode(Text))},
            read();
        _EndOfInput ->
            halt()
    end.

init() ->
    process_flag(trap_exit, true),
    loop(erl_eval:new_bindings()).

loop(Bindings) ->
    receive
        {?MODULE, Id, Text} ->
            {Result, NewBindings} = evaluate(Text, Bindings),
            io:put_chars(["=> ", Id, " ", base64:encode(term_to_binary(Result)), "\n"]),
            loop(NewBindings)
    end.

evaluate(Text, Bindings) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text ++ "."),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, NewBindings} = erl_eval:exprs(Expressions, Bindings),
        {{ok, Value}, NewBindings}
    catch
        Class:Reason:Stack ->
            Message = io_lib:format("~0tp:~0tp~n~tp", [Class, Reason, Stack]),
            {{error, unicode:characters_to_binary(Message)}, Bindings}
    end.
