# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0
#
# trap.exs MUONTRAP: evaluates each line of its stdin and prints the result.
# The lines are about two modules that do, in short, what the Elixir library
# does with muontrap.

defmodule Trap do
  @doc "Runs a command and returns its output and status, as System.cmd/3 does."
  def cmd(command, args, opts \\ []) do
    command |> open(args, opts) |> collect([])
  end

  def open(command, args, opts) do
    [muontrap] = System.argv()
    words = Enum.flat_map(opts, &option/1) ++ ["--capture-output", "--", command | args]

    Port.open(
      {:spawn_executable, muontrap},
      [:use_stdio, :exit_status, :binary, :hide, args: words, env: Keyword.get(opts, :env, [])]
    )
  end

  defp option({:stderr_to_stdout, true}), do: ["--capture-stderr"]
  defp option({:stderr_only, true}), do: ["--capture-stderr-only"]
  defp option({:stdio_window, bytes}), do: ["--stdio-window", "#{bytes}"]
  defp option({:delay_to_sigkill, ms}), do: ["--delay-to-sigkill", "#{ms}"]
  defp option({:arg0, name}), do: ["--arg0", name]
  defp option({:env, _}), do: []

  defp collect(port, output) do
    receive do
      {^port, {:data, data}} ->
        ack(port, data)
        collect(port, [output | data])

      {^port, {:exit_status, status}} ->
        {IO.iodata_to_binary(output), status}
    end
  end

  def ack(port, data), do: Port.command(port, data |> byte_size() |> encode_acks())

  defp encode_acks(bytes) when bytes > 256, do: [255 | encode_acks(bytes - 256)]
  defp encode_acks(bytes), do: [bytes - 1]
end

defmodule Trap.Daemon do
  use GenServer

  def start_link([command, args, opts]), do: GenServer.start_link(__MODULE__, {command, args, opts})

  @impl true
  def init({command, args, opts}), do: {:ok, Trap.open(command, args, opts)}

  @impl true
  def handle_info({port, {:data, data}}, port) do
    Trap.ack(port, data)
    {:noreply, port}
  end

  def handle_info({port, {:exit_status, _status}}, port), do: {:stop, :shutdown, port}
end

for line <- IO.stream(:stdio, :line), reduce: [] do
  binding ->
    {result, binding} = Code.eval_string(line, binding)
    IO.puts(inspect(result, limit: :infinity, printable_limit: :infinity))
    binding
end
