// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"fmt"
	"strings"
)

const (
	usageHead = `Usage: muontrap [OPTION]... [--] PROGRAM [ARG]...
Run PROGRAM, and stop it when stdin ends: SIGTERM first, SIGKILL later.
`
	usageTail = `
Numbers are decimal, 0x… or 0… (octal). Status: the program's own, 128+N for
signal N, 126 not runnable, 127 not found, 1 host gone or nothing started.
The environment's %s may hold these, too:
%s

Examples:
  muontrap -k 2000 --watch=parent --inherit-output -- server --port 80
  muontrap --capture-output --capture-stderr --stdio-window 65536 -- make all
`
)

// usage is the table of options, made to be read.
func usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n%s:\n", s.title)
		for _, o := range s.options {
			b.WriteString(o.usage())
		}
	}
	fmt.Fprintf(&b, usageTail, optionsVariable, "--"+strings.Join(movable, ", --"))
	return b.String()
}

func (o option) usage() string {
	names := "    --" + o.long
	if o.short != "" {
		names = "-" + o.short + ", --" + o.long
	}
	if o.value != "" {
		names += " " + o.value
	}
	help := strings.ReplaceAll(o.help, "\n", "\n"+strings.Repeat(" ", 32))
	return fmt.Sprintf("  %-29s %s\n", names, help)
}
