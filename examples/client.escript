#!/usr/bin/env escript
%% SPDX-FileCopyrightText: 2026 The muontrap authors
%% SPDX-License-Identifier: Apache-2.0
%%
%% client.escript SECONDS PROGRAM [ARG]...
%%
%% Runs a program under muontrap for at most SECONDS. Passes its output on, and
%% exits with its status, or with 124 if the time was up.
-mode(compile).

main([Seconds | Command]) ->
    ok = io:setopts([binary, {encoding, latin1}]), % bytes, not characters
    Port = open_port({spawn_executable, os:find_executable("muontrap")},
                     [use_stdio, exit_status, binary, hide,
                      {args, ["--capture-output", "--" | Command]}]),
    Timer = erlang:start_timer(list_to_integer(Seconds) * 1000, self(), stop),
    halt(relay(Port, Timer)).

relay(Port, Timer) ->
    receive
        {Port, {data, Data}} ->
            ok = file:write(standard_io, Data),
            port_command(Port, acks(byte_size(Data))),
            relay(Port, Timer);
        {Port, {exit_status, Status}} ->
            Status;
        {timeout, Timer, stop} ->
            port_close(Port), % that stops the program
            124
    end.

%% The bytes that acknowledge N bytes of output: 0 stands for 1, 255 for 256.
acks(N) when N > 256 -> [255 | acks(N - 256)];
acks(N) -> [N - 1].
