// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/protocol"
)

// words splits a command line at its spaces; ” stands for an empty word.
func words(line string) []string {
	args := strings.Fields(line)
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "''", "")
	}
	return args
}

// mustParse parses a command line that has to be accepted.
func mustParse(t *testing.T, line string) *options {
	t.Helper()
	o, err := parse("", words(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return o
}

func TestUsageTellsTheDefaults(t *testing.T) {
	text := usage()
	for _, want := range []string{
		fmt.Sprintf("in flight (%d)", protocol.DefaultWindow),
		fmt.Sprintf("to SIGKILL (%d)", defaultDelay.Milliseconds()),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, "program")
	want := &options{
		delay: 500 * time.Millisecond, window: protocol.DefaultWindow, program: []string{"program"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestEveryOptionTakesEveryForm(t *testing.T) {
	for _, c := range []struct {
		lines []string
		check func(o *options) bool
	}{
		{
			[]string{"--arg0 name p", "--arg0=name p", "-0 name p", "-0name p"},
			func(o *options) bool {
				return *o.arg0 == "name" && o.program[0] == "p" && slices.Equal(o.argv(), []string{"name"})
			},
		},
		{
			[]string{"--delay-to-sigkill 250 p", "--delay-to-sigkill=250 p", "-k 250 p", "-k250 p", "-k0xFA p", "-k 0372 p"},
			func(o *options) bool { return o.delay == 250*time.Millisecond },
		},
		{
			[]string{"--delay-to-sigkill 0 p", "-k0 p"},
			func(o *options) bool { return o.delay == 0 },
		},
		{
			[]string{"--stdio-window 65536 p", "--stdio-window=65536 p", "--stdio-window 0x10000 p", "--stdio-window 0200000 p"},
			func(o *options) bool { return o.window == 65536 },
		},
		{
			[]string{"--uid www p", "--uid=www p", "-u www p", "-uwww p"},
			func(o *options) bool { return *o.uid == "www" },
		},
		{
			[]string{"--gid www p", "--gid=www p", "-a www p", "-awww p"},
			func(o *options) bool { return *o.gid == "www" },
		},
		{
			[]string{"--groups 1,www p", "--groups=1,www p", "-G 1,www p", "-G1,www p"},
			func(o *options) bool { return *o.groups == "1,www" },
		},
		{
			[]string{"--groups '' p", "--groups= p", "-G '' p"},
			func(o *options) bool { return o.groups != nil && *o.groups == "" },
		},
		{
			[]string{"--capture-output p", "--capture-output --capture-output p", "--capture-output -- p"},
			func(o *options) bool { return o.captureOutput && !o.captureStderr && !o.stderrOnly },
		},
		{
			[]string{"--capture-stderr p"},
			func(o *options) bool { return !o.captureOutput && o.captureStderr && !o.stderrOnly },
		},
		{
			[]string{"--capture-stderr-only p"},
			func(o *options) bool { return !o.captureOutput && !o.captureStderr && o.stderrOnly },
		},
		{
			[]string{"p", "--kill-mode tree p", "--kill-mode=tree p", "--kill-mode all --kill-mode tree p"},
			func(o *options) bool { return o.killMode == killTree },
		},
		{
			[]string{"--kill-mode process p", "--kill-mode=process p"},
			func(o *options) bool { return o.killMode == killProcess },
		},
		{
			[]string{"--kill-mode all p", "--kill-mode=all p", "--kill-mode=process --kill-mode=all p"},
			func(o *options) bool { return o.killMode == killAll },
		},
		{
			[]string{"--guard p", "--guard -- p", "--guard --guard p", "-k5 --guard p"},
			func(o *options) bool { return o.guard },
		},
		{
			[]string{"--inherit-output p", "--inherit-output --watch=none p"},
			func(o *options) bool { return o.inheritOutput && o.capture() == child.Inherit },
		},
		{
			[]string{"p", "--watch stdin p", "--watch=stdin p", "--watch=none --watch stdin p", "p --watch none"},
			func(o *options) bool { return o.watch == watchStdin },
		},
		{
			[]string{"--watch parent p", "--watch=parent p"},
			func(o *options) bool { return o.watch == watchParent },
		},
		{
			[]string{"--watch none p", "--watch=none p"},
			func(o *options) bool { return o.watch == watchNone },
		},
		{
			[]string{"--version", "--version p", "--guard --version --watch=none"},
			func(o *options) bool { return o.version },
		},
		{
			[]string{"p --guard", "-- p --kill-mode all"},
			func(o *options) bool { return !o.guard && o.killMode == killTree },
		},
		{
			[]string{"--help", "-h", "--help p", "-k5 -h", "-hk5 p"},
			func(o *options) bool { return o.help },
		},
		{
			[]string{"-k 1 -u a -k 2 -u b p"}, // the last one wins
			func(o *options) bool { return o.delay == 2*time.Millisecond && *o.uid == "b" },
		},
	} {
		for _, line := range c.lines {
			if o := mustParse(t, line); !c.check(o) {
				t.Errorf("%s: %+v", line, o)
			}
		}
	}
}

func TestOptionsEndAtTheProgram(t *testing.T) {
	for line, want := range map[string]string{
		"sleep --help":                    "sleep --help",
		"sleep -k 5 -- -x":                "sleep -k 5 -- -x",
		"-- sleep --help":                 "sleep --help",
		"-- --sleep":                      "--sleep",
		"-- -- x":                         "-- x",
		"-k5 -- sleep":                    "sleep",
		"--capture-output true":           "true",
		"--capture-output -k 5 sh -c x":   "sh -c x",
		"-0 -- sleep":                     "sleep", // a value may look like anything
		"-":                               "-",
		"p '' x":                          "p '' x",
		"p -test.v":                       "p -test.v",
		"--capture-stderr-only -u a p -h": "p -h",
	} {
		if o := mustParse(t, line); o.help || !slices.Equal(o.program, words(want)) {
			t.Errorf("%s: runs %q, want %q", line, o.program, words(want))
		}
	}
}

func TestCaptureOptionsChooseTheStreams(t *testing.T) {
	for line, want := range map[string]child.Capture{
		"p":                                                         child.CaptureNothing,
		"--capture-stderr p":                                        child.DropBoth,
		"--capture-output p":                                        child.CaptureStdout,
		"--capture-output --capture-stderr p":                       child.CaptureBoth,
		"--capture-stderr --capture-output p":                       child.CaptureBoth,
		"--capture-stderr-only p":                                   child.CaptureStderr,
		"--capture-stderr-only --capture-output p":                  child.CaptureStderr,
		"--capture-output --capture-stderr-only p":                  child.CaptureStderr,
		"--capture-stderr --capture-stderr-only p":                  child.CaptureStderr,
		"--capture-output --capture-stderr --capture-stderr-only p": child.CaptureStderr,
	} {
		if got := mustParse(t, line).capture(); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestSettingsBelongToTheLatestController(t *testing.T) {
	for line, want := range map[string][]cgroup.Controller{
		"-c memory -g a p": {{Name: "memory"}},
		"-c memory -s memory.limit_in_bytes=268435456 -g a p": {
			{Name: "memory", Settings: []cgroup.Setting{{File: "memory.limit_in_bytes", Value: "268435456"}}},
		},
		"--controller memory --set memory.max=1 --group a p": {
			{Name: "memory", Settings: []cgroup.Setting{{File: "memory.max", Value: "1"}}},
		},
		"--controller=memory --set=memory.max=1 --group=a p": {
			{Name: "memory", Settings: []cgroup.Setting{{File: "memory.max", Value: "1"}}},
		},
		"-cmemory -smemory.max=1 -ga p": {
			{Name: "memory", Settings: []cgroup.Setting{{File: "memory.max", Value: "1"}}},
		},
		"-c cpu -s a=1 -s b=2 -c memory -s c=3 -s c=4 -g a p": {
			{Name: "cpu", Settings: []cgroup.Setting{{File: "a", Value: "1"}, {File: "b", Value: "2"}}}, {Name: "memory", Settings: []cgroup.Setting{{File: "c", Value: "3"}, {File: "c", Value: "4"}}},
		},
		"-c cpu -c memory -c cpu -s a=1 -g a p": { // repeated: the latest again
			{Name: "memory"}, {Name: "cpu", Settings: []cgroup.Setting{{File: "a", Value: "1"}}},
		},
		"-c cpu -s a=1 -c memory -c cpu -s b=2 -g a p": {
			{Name: "memory"}, {Name: "cpu", Settings: []cgroup.Setting{{File: "a", Value: "1"}, {File: "b", Value: "2"}}},
		},
		"-c cpu -s a=b=c -s d= -g a p": {
			{Name: "cpu", Settings: []cgroup.Setting{{File: "a", Value: "b=c"}, {File: "d", Value: ""}}},
		},
		"-g a p": nil,
	} {
		o := mustParse(t, line)
		if o == nil {
			t.Errorf("%s: refused", line)
			continue
		}
		if !reflect.DeepEqual(o.controllers, want) {
			t.Errorf("%s: %+v, want %+v", line, o.controllers, want)
		}
		if o.group == nil || *o.group != "a" {
			t.Errorf("%s: group %v", line, o.group)
		}
	}
}

func TestSettingsMayHoldSpaces(t *testing.T) {
	o, _ := parse("", []string{"-c", "cpu", "-s", "cpu.max=1000 = 2000", "-g", "a", "p"})
	if o == nil || !reflect.DeepEqual(o.controllers, []cgroup.Controller{{Name: "cpu", Settings: []cgroup.Setting{{File: "cpu.max", Value: "1000 = 2000"}}}}) {
		t.Errorf("%+v", o)
	}
}

func TestGroupIsCleaned(t *testing.T) {
	for _, line := range []string{"-g a/b p", "-g /a/b p", "-g a//b/ p"} {
		if o, _ := parse("", words(line)); o == nil || *o.group != "a/b" {
			t.Errorf("%s: %+v", line, o)
		}
	}
}

// Each refusal names the option and what was wrong about it.
func TestRefusals(t *testing.T) {
	for line, names := range map[string][]string{
		"":                            {"no program"},
		"--":                          {"no program"},
		"-k 5 --":                     {"no program"},
		"-x p":                        {"-x", "unknown"},
		"-5 p":                        {"-5", "unknown"},
		"--nonsense p":                {"--nonsense", "unknown"},
		"--nonsense=5 p":              {"--nonsense", "unknown"},
		"--delay p":                   {"--delay", "unknown"}, // no abbreviations
		"-test.v p":                   {"-test.v", "unknown"},
		"---k p":                      {"---k"},
		"--=k p":                      {"--=k"},
		"-k":                          {"--delay-to-sigkill", "needs a value"},
		"--uid":                       {"--uid", "needs a value"},
		"-k -1 p":                     {"--delay-to-sigkill", "-1", "not a number"},
		"-k +1 p":                     {"--delay-to-sigkill", "+1", "not a number"},
		"-k '' p":                     {"--delay-to-sigkill", "not a number"},
		"-k 0x p":                     {"--delay-to-sigkill", "0x", "not a number"},
		"-k 08 p":                     {"--delay-to-sigkill", "08", "not a number"},
		"-k 5s p":                     {"--delay-to-sigkill", "5s", "not a number"},
		"-k 1_000 p":                  {"--delay-to-sigkill", "1_000", "not a number"},
		"-k 0b1 p":                    {"--delay-to-sigkill", "0b1", "not a number"},
		"-k 0o7 p":                    {"--delay-to-sigkill", "0o7", "not a number"},
		"-k 1e3 p":                    {"--delay-to-sigkill", "1e3", "not a number"},
		"-k 2147483648 p":             {"--delay-to-sigkill", "too large"},
		"-k 0xffffffffffffffff1":      {"--delay-to-sigkill", "too large"},
		"--stdio-window many p":       {"--stdio-window", "many", "not a number"},
		"--stdio-window 4294967296 p": {"--stdio-window", "too large"},
		"--capture-output=yes p":      {"--capture-output", "takes no value"},
		"--capture-stderr= p":         {"--capture-stderr", "takes no value"},
		"--help=yes p":                {"--help", "takes no value"},
		"--kill-mode":                 {"--kill-mode", "needs a value"},
		"--kill-mode '' p":            {"--kill-mode", "process, tree, all"},
		"--kill-mode group p":         {"--kill-mode", "group", "process, tree, all"},
		"--kill-mode TREE p":          {"--kill-mode", "TREE", "process, tree, all"},
		"--guard=yes p":               {"--guard", "takes no value"},
		"--version=1 p":               {"--version", "takes no value"},
		"--inherit-output=no p":       {"--inherit-output", "takes no value"},
		"--watch":                     {"--watch", "needs a value"},
		"--watch '' p":                {"--watch", "stdin, parent, none"},
		"--watch 1 p":                 {"--watch", "1", "stdin, parent, none"},
		"--watch=Parent p":            {"--watch", "Parent", "stdin, parent, none"},
		"--guard= p":                  {"--guard", "takes no value"},
		"-s memory.max=1 -c memory p": {"--set", "memory.max=1", "before any --controller"},
		"-c memory -s memory.max p":   {"--set", "memory.max", "FILE=VALUE"},
		"-c memory -s =1 p":           {"--set", "=1"},
		"-c memory -s ../x=1 p":       {"--set", "../x"},
		"-c memory -s ..=1 p":         {"--set", ".."},
		"-c memory -s a/b=1 p":        {"--set", "a/b"},
		"-c '' -g a p":                {"--controller"},
		"-c a/b -g a p":               {"--controller", "a/b"},
		"-c .. -g a p":                {"--controller", ".."},
		"-c memory p":                 {"--controller", "--group"},
		"-g a -g b p":                 {"--group", "twice", "a"},
		"-g a -g a p":                 {"--group", "twice", "a"},
		"-g '' p":                     {"--group", "root"},
		"-g / p":                      {"--group", "root"},
		"-g ../a p":                   {"--group", ".."},
		"-g a/../../b p":              {"--group", ".."},
		"-g ./a p":                    {"--group", "."},
	} {
		_, err := parse("", words(line))
		if err == nil {
			t.Errorf("%q is accepted", line)
			continue
		}
		for _, n := range names {
			if !strings.Contains(err.Error(), n) {
				t.Errorf("%q: %q does not say %q", line, err, n)
			}
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %q is not one line of text", line, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "00": 0, "7": 7, "010": 8, "10": 10, "0x10": 16, "0X1f": 31, "0x0": 0, "1000": 1000,
	} {
		if got, err := parseNumber(s, 1000); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	if _, err := parseNumber("1001", 1000); err == nil || err == errNotNumber {
		t.Errorf("over the limit: %v", err)
	}
}

// What may come from where, for each option of the table.
func TestVariableTakesTheMovableOptionsOnly(t *testing.T) {
	for _, s := range sections {
		for _, o := range s.options {
			words := "--" + o.long
			if o.value != "" {
				words += " 1"
			}
			if o.long == "watch" || o.long == "kill-mode" {
				words = "--" + o.long + "=" + map[string]string{"watch": "none", "kill-mode": "all"}[o.long]
			}
			_, err := parse(words, []string{"p"})
			if movable := slices.Contains(movable, o.long); movable != (err == nil) {
				t.Errorf("%s: %v", words, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "MUONTRAP_OPTIONS: --"+o.long) {
				t.Errorf("%s: %v", words, err)
			}
		}
	}
}

func TestCommandLineThatCapturesWinsOverTheVariable(t *testing.T) {
	for _, line := range []string{"--capture-output p", "--capture-stderr p", "--capture-stderr-only p"} {
		o, err := parse("--watch=parent --inherit-output --guard", words(line))
		if err != nil || o.inheritOutput || o.watch != watchStdin || !o.guard {
			t.Errorf("%s: %+v, %v", line, o, err)
		}
	}
}

func TestCommandLineComesAfterTheVariable(t *testing.T) {
	o, err := parse("--watch=none --kill-mode all --inherit-output", words("--watch stdin --kill-mode=process p"))
	if err != nil || o.watch != watchStdin || o.killMode != killProcess || !o.inheritOutput {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestUsageFitsATerminal(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(usage(), "\n"), "\n")
	if len(lines) > 40 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if n := len([]rune(l)); n > 80 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}

func TestUsageNamesEveryOption(t *testing.T) {
	text := usage()
	for _, s := range sections {
		for _, o := range s.options {
			if !strings.Contains(text, o.usage()) || !strings.Contains(o.usage(), "--"+o.long) {
				t.Errorf("--%s is missing", o.long)
			}
			if o.short != "" && !strings.Contains(o.usage(), "-"+o.short+", ") {
				t.Errorf("-%s is missing", o.short)
			}
		}
	}
}

// What the usage text shows must work.
func TestUsageExamplesAreAccepted(t *testing.T) {
	_, examples, _ := strings.Cut(usage(), "Examples:\n")
	n := 0
	for line := range strings.Lines(examples) {
		args := strings.Fields(line)
		if args[0] != "muontrap" {
			t.Fatalf("not an example: %s", line)
		}
		mustParse(t, strings.Join(args[1:], " "))
		n++
	}
	if n == 0 {
		t.Error("no examples")
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"p", "-k250 p", "-h", "--", "-c memory -s memory.max=1 -g a p", "-c\n-s a= -g a -- p -x",
		"--stdio-window 0x10 --capture-output -- p", "-htest.v", "-test.v", "--=", "-", "-0 '' p", "-G=1,2 p",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := words(strings.ReplaceAll(line, "\x00", "")) // no argument can hold that one
		o, err := parse("", args)
		if err != nil {
			if err.Error() == "" {
				t.Fatalf("%q: refused without a word", args)
			}
			return
		}
		if o.help {
			return
		}
		switch {
		case len(o.program) == 0:
			t.Fatalf("%q: accepted without a program", args)
		case !slices.Equal(args[len(args)-len(o.program):], o.program):
			t.Fatalf("%q: runs %q", args, o.program)
		case len(o.argv()) != len(o.program):
			t.Fatalf("%q: argv %q", args, o.argv())
		case o.window < 0 || o.delay < 0 || o.delay > math.MaxInt32*time.Millisecond:
			t.Fatalf("%q: window %d, delay %v", args, o.window, o.delay)
		}
	})
}
