// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command man writes the manual page: a template on stdin, in which it replaces
// the line @OPTIONS@ by the options that a muontrap's --help knows of.
//
//	man MUONTRAP <docs/muontrap.1.in >docs/muontrap.1
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("man: ")
	if len(os.Args) != 2 {
		log.Fatal("needs the path of a muontrap")
	}
	usage, err := exec.Command(os.Args[1], "--help").Output()
	if err != nil {
		log.Fatal(err)
	}
	template, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	before, after, ok := strings.Cut(string(template), "@OPTIONS@\n")
	if !ok {
		log.Fatal("no @OPTIONS@ in the template")
	}
	w := bufio.NewWriter(os.Stdout)
	fmt.Fprint(w, before)
	if err := writeOptions(w, string(usage)); err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(w, after)
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
}

// What the usage text consists of, as internal/supervisor/usage.go makes it.
var (
	sectionLine = regexp.MustCompile(`^(\S.*):$`)
	optionLine  = regexp.MustCompile(`^  (?:-(.),|   ) --(\S+)(?: (\S+))? +(\S.*)$`)
	moreLine    = regexp.MustCompile(`^ {32}(\S.*)$`)
)

// writeOptions makes a list of each section of the usage text, as far as that has
// options.
func writeOptions(w io.Writer, usage string) error {
	section, open := "", false
	end := func() {
		if open {
			fmt.Fprintln(w, ".El")
		}
		open = false
	}
	for _, line := range strings.Split(usage, "\n") {
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			end()
			section = m[1]
		} else if m := optionLine.FindStringSubmatch(line); m != nil {
			if !open {
				fmt.Fprintf(w, ".Ss %s\n.Bl -tag -width Ds\n", section)
				open = true
			}
			fmt.Fprintf(w, ".It %s\n%s\n", names(m[1], m[2], m[3]), text(m[4]))
		} else if m := moreLine.FindStringSubmatch(line); m != nil && open {
			fmt.Fprintln(w, text(m[1]))
		} else if strings.HasPrefix(line, " ") && strings.HasPrefix(strings.TrimSpace(line), "-") {
			return fmt.Errorf("no option as usage.go writes them: %s", line)
		}
	}
	end()
	return nil
}

func names(short, long, value string) string {
	s := "Fl -" + long
	if short != "" {
		s = "Fl " + short + " , " + s
	}
	if value != "" {
		s += " Ar " + value
	}
	return s
}

// text keeps roff from taking a text for a request.
func text(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
