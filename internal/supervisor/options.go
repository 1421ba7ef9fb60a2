// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/protocol"
	"golang.org/x/sys/unix"
)

// options is what the command line says, and MUONTRAP_OPTIONS before it.
type options struct {
	help, version bool
	arg0          *string
	controllers   []cgroup.Controller
	group         *string
	delay         time.Duration // from SIGTERM to SIGKILL
	window        int           // bytes
	captureOutput bool
	captureStderr bool
	stderrOnly    bool
	inheritOutput bool
	uid, gid      *string
	groups        *string
	watch         watched
	killMode      killMode
	guard         bool
	program       []string // and its arguments; never empty
}

// killMode is how far the stop reaches without a cgroup.
type killMode int

const (
	killTree    killMode = iota // all descendants, when the stop is forced
	killProcess                 // the program alone
	killAll                     // all descendants, also when the program ends by itself
)

var killModes = []string{killTree: "tree", killProcess: "process", killAll: "all"}

// watched is what ends the program when it ends itself.
type watched int

const (
	watchStdin  watched = iota // fd 0
	watchParent                // the process that started muontrap
	watchNone                  // nothing: only signals do
)

var watches = []string{watchStdin: "stdin", watchParent: "parent", watchNone: "none"}

// An option is one row of the table that the parser and the usage text share.
type option struct {
	short, long string
	value       string // what the usage text calls it; "" for a switch
	help        string // lines
	set         func(o *options, value string) error
}

type section struct {
	title   string
	options []option
}

// sections is all constant, so that nothing has to be made of it at the start.
var sections = []section{
	{"The program", []option{
		{"0", "arg0", "NAME", "its argv[0]; the file run is still PROGRAM", func(o *options, v string) error {
			o.arg0 = &v
			return nil
		}},
		{"u", "uid", "USER", "run as this user: an id, or a name with groups", func(o *options, v string) error {
			o.uid = &v
			return nil
		}},
		{"a", "gid", "GROUP", "run with this primary group: an id or a name", func(o *options, v string) error {
			o.gid = &v
			return nil
		}},
		{"G", "groups", "LIST", "supplementary ones, by comma; empty: none", func(o *options, v string) error {
			o.groups = &v
			return nil
		}},
	}},
	{"Its output", []option{
		{"", "capture-output", "", "relay stdout", func(o *options, _ string) error {
			o.captureOutput = true
			return nil
		}},
		{"", "capture-stderr", "", "relay stderr as well", func(o *options, _ string) error {
			o.captureStderr = true
			return nil
		}},
		{"", "capture-stderr-only", "", "relay stderr, drop stdout", func(o *options, _ string) error {
			o.stderrOnly = true
			return nil
		}},
		{"", "stdio-window", "BYTES", "most unacknowledged bytes in flight (10240)", func(o *options, v string) error {
			n, err := parseNumber(v, math.MaxInt32)
			o.window = int(n)
			return err
		}},
		{"", "inherit-output", "", "leave it muontrap's stdout and stderr", func(o *options, _ string) error {
			o.inheritOutput = true
			return nil
		}},
	}},
	{"Its end", []option{
		{"", "watch", "WHAT", "what it must not outlive: stdin, parent or none", func(o *options, v string) error {
			o.watch = watched(slices.Index(watches, v))
			if o.watch < 0 {
				return errors.New("not one of stdin, parent, none")
			}
			return nil
		}},
		{"k", "delay-to-sigkill", "MS", "milliseconds from SIGTERM to SIGKILL (500)", func(o *options, v string) error {
			ms, err := parseNumber(v, math.MaxInt32)
			o.delay = time.Duration(ms) * time.Millisecond
			return err
		}},
		{"", "kill-mode", "MODE", "what to stop without a cgroup: tree (default);\nall: it too when PROGRAM ends itself; process", func(o *options, v string) error {
			o.killMode = killMode(slices.Index(killModes, v))
			if o.killMode < 0 {
				return errors.New("not one of process, tree, all")
			}
			return nil
		}},
		{"", "guard", "", "let a second process finish if SIGKILL hits", func(o *options, _ string) error {
			o.guard = true
			return nil
		}},
	}},
	{"Limits and containment by cgroups, of v1 or v2", []option{
		{"c", "controller", "NAME", "use this controller; repeatable", (*options).addController},
		{"g", "group", "PATH", "the cgroup, relative to the hierarchy's root", (*options).setGroup},
		{"s", "set", "FILE=VALUE", "write VALUE to FILE of the latest -c; repeatable", (*options).addSetting},
	}},
	{"Help", []option{
		{"h", "help", "", "print this", func(o *options, _ string) error {
			o.help = true
			return nil
		}},
		{"", "version", "", "print what this is, and what the kernel offers", func(o *options, _ string) error {
			o.version = true
			return nil
		}},
	}},
}

const defaultDelay = 500 * time.Millisecond

// optionsVariable holds options of callers that can't change the arguments: those
// in movable only. What a host decides about users and limits is not to be undone
// from outside.
const optionsVariable = "MUONTRAP_OPTIONS"

var movable = []string{"inherit-output", "watch", "kill-mode", "guard", "version"}

// parse reads the words of the variable, and then the command line, which wins: one
// that captures output takes it from where the variable would leave it.
func parse(variable string, args []string) (*options, error) {
	o := &options{delay: defaultDelay, window: protocol.DefaultWindow}
	if words := strings.Fields(variable); len(words) > 0 {
		rest, err := o.read(words, movable)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%q is not an option", rest[0])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", optionsVariable, err)
		}
		var line options
		if _, err := line.read(args, nil); err == nil && line.captures() {
			o.inheritOutput, o.watch = false, watchStdin
		}
	}
	var err error
	if o.program, err = o.read(args, nil); err != nil {
		return nil, err
	}
	if o.help || o.version {
		return o, nil
	}
	return o, o.check()
}

// read takes options until "--" or the first word that is none, as getopt_long(3)
// does with "+" but without abbreviations, and returns what follows. If there is a
// list, only the options on it are taken.
func (o *options) read(args, only []string) (rest []string, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		if args, err = o.readWord(word, args, only); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// readWord takes --long, --long=VALUE, or -x, -xVALUE and -xyz. A value that is not
// attached is the next of the words, and those that are left are returned.
func (o *options) readWord(word string, words, only []string) (rest []string, err error) {
	if long, ok := strings.CutPrefix(word, "--"); ok {
		name, value, attached := strings.Cut(long, "=")
		opt := lookUp(func(opt *option) bool { return opt.long == name })
		if opt == nil {
			return nil, fmt.Errorf("unknown option %s (try muontrap --help)", word)
		}
		return o.take(opt, value, attached, words, only)
	}
	for letters := word[1:]; letters != "" && err == nil; {
		opt := lookUp(func(opt *option) bool { return opt.short == letters[:1] })
		if opt == nil {
			return nil, fmt.Errorf("unknown option -%s in %s (try muontrap --help)", letters[:1], word)
		}
		value := ""
		if letters = letters[1:]; opt.value != "" {
			value, letters = letters, ""
		}
		words, err = o.take(opt, value, value != "", words, only)
	}
	return words, err
}

func lookUp(is func(*option) bool) *option {
	for _, s := range sections {
		if i := slices.IndexFunc(s.options, func(opt option) bool { return is(&opt) }); i >= 0 {
			return &s.options[i]
		}
	}
	return nil
}

// take sets one option.
func (o *options) take(opt *option, value string, attached bool, words, only []string) (rest []string, err error) {
	switch {
	case only != nil && !slices.Contains(only, opt.long):
		return nil, fmt.Errorf("--%s: has to be given on the command line", opt.long)
	case opt.value == "" && attached:
		return nil, fmt.Errorf("--%s: takes no value", opt.long)
	case opt.value == "":
		return words, opt.set(o, "")
	case !attached && len(words) == 0:
		return nil, fmt.Errorf("--%s: needs a value (%s)", opt.long, opt.value)
	case !attached:
		value, words = words[0], words[1:]
	}
	if err := opt.set(o, value); err != nil {
		return nil, fmt.Errorf("--%s %q: %w", opt.long, value, err)
	}
	return words, nil
}

// check refuses what only the whole of them can show to be wrong.
func (o *options) check() error {
	switch {
	case len(o.program) == 0:
		return errors.New("no program to run (try muontrap --help)")
	case len(o.controllers) > 0 && o.group == nil:
		return errors.New("--controller: needs --group to say which cgroup")
	case o.inheritOutput && o.captures():
		return errors.New("--inherit-output: leaves nothing for --capture-output and its like")
	case o.watch != watchStdin && o.captures():
		return errors.New("--watch: has to be stdin, for what --capture-output and its like relay is acknowledged there")
	}
	return nil
}

func (o *options) captures() bool { return o.captureOutput || o.captureStderr || o.stderrOnly }

// capture tells where the program's output goes.
func (o *options) capture() child.Capture {
	switch {
	case o.inheritOutput:
		return child.Inherit
	case o.stderrOnly:
		return child.CaptureStderr
	case o.captureOutput && o.captureStderr:
		return child.CaptureBoth
	case o.captureOutput:
		return child.CaptureStdout
	case o.captureStderr:
		return child.DropBoth
	}
	return child.CaptureNothing
}

// handedOn lists the streams that are the program's alone.
func (o *options) handedOn() (fds []int) {
	if o.watch != watchStdin {
		fds = append(fds, unix.Stdin)
	}
	if o.inheritOutput {
		fds = append(fds, unix.Stdout)
	}
	return fds
}

// argv is the program's argument vector.
func (o *options) argv() []string {
	if o.arg0 == nil {
		return o.program
	}
	return append([]string{*o.arg0}, o.program[1:]...)
}

func (o *options) addController(name string) error {
	if name == "" || strings.ContainsAny(name, "/\n") || name == "." || name == ".." {
		return errors.New("not the name of a controller")
	}
	if i := slices.IndexFunc(o.controllers, func(c cgroup.Controller) bool { return c.Name == name }); i >= 0 {
		c := o.controllers[i]
		o.controllers = append(slices.Delete(o.controllers, i, i+1), c) // the latest again
		return nil
	}
	o.controllers = append(o.controllers, cgroup.Controller{Name: name})
	return nil
}

func (o *options) setGroup(path string) error {
	if o.group != nil {
		return fmt.Errorf("given twice, first as %q", *o.group)
	}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) == 0 {
		return errors.New("the hierarchy's root can't be used as a group")
	}
	if slices.Contains(names, ".") || slices.Contains(names, "..") {
		return errors.New(`must not hold "." or ".."`)
	}
	path = strings.Join(names, "/")
	o.group = &path
	return nil
}

func (o *options) addSetting(v string) error {
	file, value, ok := strings.Cut(v, "=")
	switch {
	case !ok:
		return errors.New("not of the form FILE=VALUE")
	case file == "" || strings.Contains(file, "/") || file == "." || file == "..":
		return fmt.Errorf("%q is not the name of a file in the cgroup", file)
	case len(o.controllers) == 0:
		return errors.New("comes before any --controller that it could belong to")
	}
	c := &o.controllers[len(o.controllers)-1]
	c.Settings = append(c.Settings, cgroup.Setting{File: file, Value: value})
	return nil
}

var errNotNumber = errors.New("not a number (decimal, 0x… or 0… octal)")

// parseNumber reads a number as the C helper's callers write it: decimal, 0x…
// or 0… for octal.
func parseNumber(s string, limit uint64) (uint64, error) {
	digits, base := s, 10
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		digits, base = rest, 16
	} else if len(s) > 1 && s[0] == '0' {
		digits, base = s[1:], 8
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, errNotNumber
	case err != nil || n > limit:
		return 0, fmt.Errorf("too large, at most %d", limit)
	}
	return n, nil
}
