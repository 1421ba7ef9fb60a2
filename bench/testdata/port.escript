#!/usr/bin/env escript
%% SPDX-FileCopyrightText: 2026 The muontrap authors
%% SPDX-License-Identifier: Apache-2.0
%%
%% port.escript BYTES bare|acknowledge PROGRAM [ARG]...
%%
%% Takes so many bytes from a program's port, and tells how many seconds that took,
%% and how many of processor time in this process and in the one behind the port.
-mode(compile).

main([Bytes, Manner, Program | Args]) ->
    Before = processor_time("self"),
    Begin = erlang:monotonic_time(),
    Port = open_port({spawn_executable, Program}, [use_stdio, exit_status, binary, hide, {args, Args}]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Last = take(Port, list_to_integer(Bytes), Manner),
    Took = erlang:convert_time_unit(erlang:monotonic_time() - Begin, native, nanosecond),
    Host = processor_time("self") - Before,
    Helper = case Manner of
                 "acknowledge" -> processor_time(integer_to_list(Pid));
                 "bare" -> 0 % it may have ended
             end,
    acknowledge(Port, Last, Manner),
    receive {Port, {exit_status, 0}} -> ok end,
    io:format("~w ~w ~w~n", [Took / 1.0e9, Host / 1.0e9, Helper / 1.0e9]).

%% Returns how many bytes came last. They are not acknowledged yet.
take(Port, Left, Manner) ->
    receive
        {Port, {data, Data}} when byte_size(Data) >= Left ->
            byte_size(Data);
        {Port, {data, Data}} ->
            acknowledge(Port, byte_size(Data), Manner),
            take(Port, Left - byte_size(Data), Manner)
    end.

acknowledge(_, _, "bare") -> ok;
acknowledge(Port, N, "acknowledge") ->
    port_command(Port, [binary:copy(<<255>>, N div 256) | [N rem 256 - 1 || N rem 256 > 0]]).

%% Nanoseconds that all threads of a process have run (proc_pid_schedstat).
processor_time(Pid) ->
    lists:sum([begin
                   {ok, Text} = file:read_file(File),
                   binary_to_integer(hd(binary:split(Text, <<" ">>)))
               end || File <- filelib:wildcard("/proc/" ++ Pid ++ "/task/*/schedstat")]).
