# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0

defmodule MuonTrap do
  @moduledoc "Looks for its helper where the Elixir library does, and runs a command as it does."

  def muontrap_path, do: Application.app_dir(:muontrap, ["priv", "muontrap"])

  def cmd(command, args) do
    Port.open(
      {:spawn_executable, muontrap_path()},
      [:use_stdio, :exit_status, :binary, :hide, args: ["--capture-output", "--", command | args]]
    )
    |> collect("")
  end

  defp collect(port, output) do
    receive do
      {^port, {:data, data}} ->
        Port.command(port, data |> byte_size() |> acks())
        collect(port, output <> data)

      {^port, {:exit_status, status}} ->
        {output, status}
    end
  end

  defp acks(n) when n > 256, do: [255 | acks(n - 256)]
  defp acks(n), do: [n - 1]
end
