#!/usr/bin/env escript
%% SPDX-FileCopyrightText: 2026 The muontrap authors
%% SPDX-License-Identifier: Apache-2.0
%%
%% Runs programs through muontrap from Erlang ports:
%%
%%   port.escript stream MUONTRAP ARG...        one run: status, bytes, SHA-256
%%   port.escript many MUONTRAP RUNS AT_ONCE    short runs of every kind
%%   port.escript slow MUONTRAP WINDOW ROUNDS   an owner slower than its program
%%   port.escript gone MUONTRAP TAG HOW         the owner goes in mid-stream
-mode(compile).

main(["stream", Muontrap | Args]) ->
    Port = open(Muontrap, Args),
    {Status, Bytes, Hash} = stream(Port, 0, crypto:hash_init(sha256)),
    io:format("~b ~b ~s~n", [Status, Bytes, string:lowercase(binary:encode_hex(Hash))]);
main(["many", Muontrap, Runs, AtOnce]) ->
    many(Muontrap, list_to_integer(Runs), list_to_integer(AtOnce));
main(["slow", Muontrap, Window, Rounds]) ->
    Port = open(Muontrap, ["--capture-output", "--stdio-window", Window, "--", "yes"]),
    slow(Port, list_to_integer(Window), 0, list_to_integer(Rounds));
main(["gone", Muontrap, Tag, How]) ->
    gone(Muontrap, Tag, How).

%% The port and its acknowledgements, as the Elixir library has them.

open(Muontrap, Args) -> open(Muontrap, Args, []).

open(Muontrap, Args, Env) ->
    open_port({spawn_executable, Muontrap},
              [use_stdio, exit_status, binary, hide, {args, Args}, {env, Env}]).

ack(Port, Bytes) -> true = port_command(Port, acks(Bytes)).

acks(Bytes) ->
    [binary:copy(<<255>>, Bytes div 256) | [Bytes rem 256 - 1 || Bytes rem 256 > 0]].

%% stream

stream(Port, Bytes, Hash) ->
    receive
        {Port, {data, Data}} ->
            ack(Port, byte_size(Data)),
            stream(Port, Bytes + byte_size(Data), crypto:hash_update(Hash, Data));
        {Port, {exit_status, Status}} ->
            {Status, Bytes, crypto:hash_final(Hash)};
        Other ->
            exit({unexpected, Other})
    end.

%% many

many(Muontrap, Runs, AtOnce) ->
    Kinds = list_to_tuple(kinds()),
    Run = fun(I) -> run(Muontrap, I, element(I rem tuple_size(Kinds) + 1, Kinds)) end,
    Worker = fun(First) ->
                     process_flag(trap_exit, true),
                     lists:foreach(Run, lists:seq(First, Runs, AtOnce)),
                     quiet()
             end,
    Workers = [spawn_monitor(fun() -> Worker(I) end) || I <- lists:seq(1, AtOnce)],
    Bad = [Why || {Pid, Ref} <- Workers,
                  Why <- receive {'DOWN', Ref, process, Pid, Reason} -> [Reason] end,
                  Why =/= normal],
    [io:format("~P~n", [Why, 30]) || Why <- Bad],
    Bad =:= [] andalso io:format("~b runs, all as they should be~n", [Runs]).

%% Options, program, its output and its status.
kinds() ->
    Out = ["--capture-output"],
    Both = ["--capture-output", "--capture-stderr"],
    Small = ["--capture-output", "--stdio-window", "1000"],
    [{Out, ["echo", "hello"], <<"hello\n">>, 0},
     {Out, ["true"], <<>>, 0},
     {Out, ["sh", "-c", "exit 42"], <<>>, 42},
     {Out, ["seq", "20000"], seq(20000), 0},
     {Small, ["seq", "20000"], seq(20000), 0},
     {Out, ["sh", "-c", "seq 5000; exit 3"], seq(5000), 3},
     {Out, ["sh", "-c", "seq 5000; kill -KILL $$"], seq(5000), 128 + 9},
     {Out, ["sh", "-c", "kill -TERM $$"], <<>>, 128 + 15},
     {Both, ["sh", "-c", "echo out; echo err >&2"], <<"out\nerr\n">>, 0},
     {Both, ["sh", "-c", "seq 20000 >&2"], seq(20000), 0},
     {[], ["seq", "20000"], <<>>, 0}].

seq(N) -> iolist_to_binary([[integer_to_list(I), $\n] || I <- lists:seq(1, N)]).

run(Muontrap, I, {Options, Command, Output, Status}) ->
    Port = open(Muontrap, Options ++ ["--" | Command]),
    case collect(Port, []) of
        {Output, Status} -> ok;
        {Got, S} -> exit({run, I, Options ++ Command, status, S, bytes, byte_size(Got)})
    end.

%% collect takes the three kinds of message that the owner of a port expects,
%% in their order. Any other, as {'EXIT', Port, epipe}, is a failure.
collect(Port, Output) ->
    receive
        {Port, {data, Data}} ->
            ack(Port, byte_size(Data)),
            collect(Port, [Output, Data]);
        {Port, {exit_status, Status}} ->
            receive
                {'EXIT', Port, normal} -> {iolist_to_binary(Output), Status};
                Other -> exit({unexpected, after_status, Other})
            end;
        Other ->
            exit({unexpected, Other})
    end.

quiet() ->
    receive Other -> exit({unexpected, in_the_end, Other}) after 100 -> ok end.

%% slow

%% Held is what the owner has received and not acknowledged. It fills the
%% window, and no more: what comes on top would grow the mailbox without end.
slow(Port, Window, _Held, 0) ->
    port_close(Port),
    io:format("never more than ~b~n", [Window]);
slow(Port, Window, Held, Rounds) when Held < Window ->
    receive {Port, {data, Data}} -> slow(Port, Window, Held + byte_size(Data), Rounds) end;
slow(Port, Window, Window, Rounds) ->
    receive Other -> exit({unexpected, Other}) after 20 -> ok end,
    Acked = rand:uniform(Window),
    ack(Port, Acked),
    slow(Port, Window, Window - Acked, Rounds - 1).

%% gone

gone(Muontrap, Tag, How) ->
    Main = self(),
    Owner = spawn(fun() -> owner(Main, Muontrap, [{"PROGRAM_TAG", Tag}]) end),
    Ports = receive {in_mid_stream, P} -> P end,
    io:format("in mid-stream~n"),
    io:get_line(""),
    case How of
        "owner killed" -> exit(Owner, kill);
        "owner crashed" -> exit(Owner, oops);
        "owner returned" -> Owner ! return;
        "port closed" -> [port_close(Port) || Port <- Ports];
        "VM stopped" -> init:stop();
        "VM halted" -> halt();
        "VM killed" -> to_be_killed
    end,
    io:get_line(""). % until the test has seen enough

%% The owner of three programs: one whose output flows, one that is stuck since
%% nobody acknowledges, and one deaf to SIGTERM.
owner(Main, Muontrap, Env) ->
    Open = fun(Command) -> open(Muontrap, ["--capture-output", "--" | Command], Env) end,
    Flowing = Open(["yes"]),
    Stuck = Open(["yes"]),
    Deaf = Open(["sh", "-c", "trap '' TERM; echo; exec sleep 1000"]),
    receive {Deaf, {data, _}} -> ok end,
    await(Stuck, 10240),
    flow(Flowing, 1000000),
    Main ! {in_mid_stream, [Flowing, Stuck, Deaf]},
    flow(Flowing, infinity).

await(_Port, 0) -> ok;
await(Port, Bytes) -> receive {Port, {data, Data}} -> await(Port, Bytes - byte_size(Data)) end.

flow(_Port, Bytes) when Bytes =< 0 -> ok;
flow(Port, Bytes) ->
    receive
        {Port, {data, Data}} ->
            catch ack(Port, byte_size(Data)), % it may be closed by now
            flow(Port, if Bytes =:= infinity -> infinity; true -> Bytes - byte_size(Data) end);
        return -> ok
    end.
