#!/usr/bin/env elixir
# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0
#
# client.exs SECONDS PROGRAM [ARG]...
#
# Runs a program under muontrap for at most SECONDS. Passes its output on, and
# exits with its status, or with 124 if the time was up.

defmodule Client do
  def run(seconds, command) do
    port =
      Port.open({:spawn_executable, System.find_executable("muontrap")}, [
        :use_stdio,
        :exit_status,
        :binary,
        :hide,
        args: ["--capture-output", "--" | command]
      ])

    timer = :erlang.start_timer(seconds * 1000, self(), :stop)
    relay(port, timer)
  end

  defp relay(port, timer) do
    receive do
      {^port, {:data, data}} ->
        IO.binwrite(data)
        Port.command(port, acks(byte_size(data)))
        relay(port, timer)

      {^port, {:exit_status, status}} ->
        status

      {:timeout, ^timer, :stop} ->
        # That stops the program.
        Port.close(port)
        124
    end
  end

  # The bytes that acknowledge n bytes of output: 0 stands for 1, 255 for 256.
  defp acks(n) when n > 256, do: [255 | acks(n - 256)]
  defp acks(n), do: [n - 1]
end

# Bytes, not characters.
:io.setopts(:standard_io, encoding: :latin1)
[seconds | command] = System.argv()
System.halt(Client.run(String.to_integer(seconds), command))
