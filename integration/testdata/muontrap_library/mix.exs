# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0

defmodule MuonTrap.MixProject do
  use Mix.Project

  def project do
    [app: :muontrap, version: "1.0.0", compilers: [:helper | Mix.compilers()]]
  end
end

# Puts a helper into priv when the library is compiled.
defmodule Mix.Tasks.Compile.Helper do
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    helper = Path.join(Mix.Project.app_path(), "priv/muontrap")
    File.mkdir_p!(Path.dirname(helper))
    File.rm(helper)
    File.write!(helper, "#!/bin/sh\necho the library\\'s own helper\n")
    File.chmod!(helper, 0o755)
    :ok
  end
end
