// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withPath starts muontrap in dir with this PATH.
func withPath(dir, path string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Dir = dir
		c.Env = append(c.Env, "PATH="+path)
	}
}

// withoutPath starts muontrap in dir with no PATH at all.
func withoutPath(dir string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Dir = dir
		c.Env = slices.DeleteFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	}
}

// says is a program that writes a word.
func says(word string) string { return "#!/bin/sh\necho " + word + "\n" }

func TestPathIsSearched(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a/tool", 0o755, says("a"))
	writeFile(t, dir+"/b/tool", 0o755, says("b"))
	writeFile(t, dir+"/plain/tool", 0o644, says("plain"))
	writeFile(t, dir+"/broken/tool", 0o755, "#!/nonexistent/interpreter\n")
	writeFile(t, dir+"/directory/tool/file", 0o644, "")
	writeFile(t, dir+"/file", 0o644, "")
	writeFile(t, dir+"/here/tool", 0o755, says("here"))
	writeFile(t, dir+"/here/sub/tool", 0o755, says("sub"))

	for _, c := range []struct{ name, path, want string }{
		{"the first one is run", "DIR/a:DIR/b", "a"},
		{"order counts", "DIR/b:DIR/a", "b"},
		{"a missing directory is passed over", "DIR/none:DIR/a", "a"},
		{"an element that is a file is passed over", "DIR/file:DIR/a", "a"},
		{"a directory of that name is passed over", "DIR/directory:DIR/a", "a"},
		{"a file that is not executable is passed over", "DIR/plain:DIR/a", "a"},
		{"a missing interpreter is passed over", "DIR/broken:DIR/a", "a"},
		{"an empty element in front is the working directory", ":DIR/a", "here"},
		{"an empty element inside is the working directory", "DIR/none::DIR/a", "here"},
		{"an empty element at the end is the working directory", "DIR/none:", "here"},
		{"an empty PATH is the working directory", "", "here"},
		{"a relative element begins there", "sub:DIR/a", "sub"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := strings.ReplaceAll(c.path, "DIR", dir)
			h := startWith(t, withPath(dir+"/here", path), "--capture-output", "tool")
			h.wantOutput(c.want + "\n")
			h.wantStatus(0)
		})
	}
}

func TestUnsetPathHasTheDefault(t *testing.T) {
	h := startWith(t, withoutPath("/"), "--capture-output", "echo", "found")
	h.wantOutput("found\n")
	h.wantStatus(0)
}

func TestUnsetPathLeavesOutTheWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/tool", 0o755, says("here"))
	startWith(t, withoutPath(dir), "tool").wantStatus(127)
}

func TestEmptyPathLeavesOutTheDefault(t *testing.T) {
	startWith(t, withPath("/", ""), "true").wantStatus(127)
}

func TestProgramThatCannotBeRun(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/plain", 0o644, says("plain"))
	writeFile(t, dir+"/directory/file", 0o644, "")
	writeFile(t, dir+"/no-interpreter", 0o755, "#!/nonexistent/interpreter\n")
	writeFile(t, dir+"/plain-interpreter", 0o755, "#!"+dir+"/plain\n")
	writeFile(t, dir+"/bad-elf", 0o755, "\x7fELF\x02\x01\x01\x00\x00\x00\n")
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program string
		status  int
		words   string
	}{
		{"absent", 127, "not found"},
		{"", 127, "not found"},
		{"two\nlines", 127, "not found"},
		{dir + "/absent", 127, "no such file"},
		{dir + "/plain/absent", 127, "no such file"},
		{"./absent", 127, "no such file"},
		{"plain", 126, "permission denied"},
		{dir + "/plain", 126, "permission denied"},
		{"directory", 126, "permission denied"},
		{dir + "/directory", 126, "permission denied"},
		{"/", 126, "permission denied"},
		{"no-interpreter", 126, "interpreter"},
		{dir + "/no-interpreter", 126, "interpreter"},
		{dir + "/plain-interpreter", 126, "permission denied"},
		{"bad-elf", 126, "format"},
		{dir + "/bad-elf", 126, "format"},
		{dir + "/loop", 126, "symbolic links"},
		{dir + "/" + strings.Repeat("long", 100), 126, "name too long"},
	} {
		t.Run(filepath.Base(c.program), func(t *testing.T) {
			h := startWith(t, withPath("/", "/nonexistent:"+dir), "--capture-output", "--", c.program, "arg")
			h.wantOutput("")
			h.wantStatus(c.status)
			h.wantOneMessage(c.words, fmt.Sprintf("%q", c.program))
		})
	}
}

func TestScriptWithoutInterpreterLineIsRunByTheShell(t *testing.T) {
	dir := t.TempDir()
	script := writeFile(t, dir+"/script", 0o755, `printf '<%s>' "$0" "$@"`)
	for _, c := range []struct{ name, program, zero string }{
		{"by path", script, script},
		{"from PATH", "script", script},
		{"from the working directory", "./script", "./script"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := startWith(t, withPath(dir, dir), "--capture-output", "--", c.program, "one", "", "th ree")
			h.wantOutput("<" + c.zero + "><one><><th ree>")
			h.wantStatus(0)
		})
	}
}

func TestEmptyScriptSucceeds(t *testing.T) {
	start(t, "--", writeFile(t, t.TempDir()+"/empty", 0o755, "")).wantStatus(0)
}

func TestArgumentsArriveUnchanged(t *testing.T) {
	words := []string{"", " ", "a\nb", "\n", "--", "--help", "-k", "*", `"'\`, "\xff\xfe", "$HOME", strings.Repeat("x", 100_000), ""}
	h := start(t, append([]string{"--capture-output", "--", self, "@argv"}, words...)...)
	h.wantOutput(strings.Join(append([]string{self, "@argv"}, words...), "\x00") + "\x00")
	h.wantStatus(0)
}

func TestArg0IsWhatTheProgramSees(t *testing.T) {
	for _, name := range []string{"other", "-other", "", "with space\n"} {
		for _, options := range [][]string{{"--arg0", name}, {"--arg0=" + name}, {"-0", name}} {
			t.Run(strings.Join(options, " "), func(t *testing.T) {
				h := start(t, append(options, "--capture-output", self, "@argv")...)
				h.wantOutput(name + "\x00@argv\x00")
				h.wantStatus(0)
			})
		}
	}
}

func TestArg0ChoosesTheFaceOfAProgramWithTwo(t *testing.T) {
	// bash is the restricted shell when it is called so.
	h := start(t, "--arg0", "rbash", "--capture-output", "bash", "-c", "case $- in *r*) echo restricted;; esac; cd /")
	h.wantOutput("restricted\n")
	h.wantStatus(1)
}

func TestArg0DoesNotChangeTheSearch(t *testing.T) {
	h := start(t, "--arg0", "true", "/nonexistent/program")
	h.wantStatus(127)
	h.wantOneMessage("/nonexistent/program")
}

func TestOptionsEndAtTheProgram(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"long", []string{self, "@argv", "--help"}, []string{"@argv", "--help"}},
		{"short", []string{self, "@argv", "-h", "-k"}, []string{"@argv", "-h", "-k"}},
		{"known with value", []string{self, "@argv", "--uid", "0"}, []string{"@argv", "--uid", "0"}},
		{"marked", []string{"--", self, "@argv", "--", "-k"}, []string{"@argv", "--", "-k"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, append([]string{"--capture-output"}, c.args...)...)
			h.wantOutput(strings.Join(append([]string{self}, c.want...), "\x00") + "\x00")
			h.wantStatus(0)
		})
	}
}

func TestProgramMayHaveTheNameOfAnOption(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/--help", 0o755, says("program"))
	h := startWith(t, withPath("/", dir+":/bin"), "--capture-output", "--", "--help")
	h.wantOutput("program\n")
	h.wantStatus(0)
}

func TestHelpIsOnStdout(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"-k250", "--help"}, {"--help", "--", "false"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			h := start(t, args...)
			if got := string(h.readAll()); !strings.Contains(got, "--delay-to-sigkill") {
				t.Errorf("usage %q", got)
			}
			h.wantStatus(0)
			h.wantNoMessages()
		})
	}
}

func TestShortOptionsTakeTheirValueAttachedOrApart(t *testing.T) {
	for _, options := range [][]string{{"-k250"}, {"-k", "250"}, {"-k0xfa"}, {"-k0372"}, {"--delay-to-sigkill=250"}, {"-u65534", "-a", "65534", "-G7"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			start(t, append(options, "true")...).wantStatus(0)
		})
	}
}

func TestBadInputStartsNothing(t *testing.T) {
	type row struct {
		options []string
		word    string // that the message must hold
	}
	rows := []row{
		{[]string{"--bogus"}, "--bogus"},
		{[]string{"--bo\ngus"}, "unknown option"},
		{[]string{"--=x"}, "--=x"},
		{[]string{"-z"}, "-z"},
		{[]string{"-k5z"}, "--delay-to-sigkill"},
		{[]string{"-test.v"}, "-test.v"},
		{[]string{"--capture-output=yes"}, "--capture-output"},
		{[]string{"--capture-stderr="}, "--capture-stderr"},
		{[]string{"--set", "memory.max=1"}, "--set"},
		{[]string{"-s", "memory.max=1", "-c", "memory", "-g", "x"}, "--set"},
		{[]string{"-c", "memory", "-s", "memory.max", "-g", "x"}, "--set"},
		{[]string{"-c", "memory", "-s", "=1", "-g", "x"}, "--set"},
		{[]string{"-c", "memory", "-s", "../x=1", "-g", "x"}, "--set"},
		{[]string{"-c", "", "-g", "x"}, "--controller"},
		{[]string{"-c", "../x", "-g", "x"}, "--controller"},
		{[]string{"-g", "x", "-g", "y", "-c", "memory"}, "--group"},
		{[]string{"-g", "x", "-g", "x", "-c", "memory"}, "--group"},
		{[]string{"-g", "", "-c", "memory"}, "--group"},
		{[]string{"-g", "/", "-c", "memory"}, "--group"},
		{[]string{"-g", "x/../../y", "-c", "memory"}, "--group"},
	}
	for _, number := range []string{"", "-1", "+1", " 1", "1 ", "1.5", "1e3", "12x", "ten", "0x", "0xg", "08", "1_000", "１", "99999999999999999999", "0x1ffffffffffffffff"} {
		rows = append(rows,
			row{[]string{"--delay-to-sigkill", number}, "--delay-to-sigkill"},
			row{[]string{"-k" + number + "x"}, "--delay-to-sigkill"},
			row{[]string{"--stdio-window=" + number}, "--stdio-window"})
	}
	for _, id := range []string{"", "0", "00", "0x0", "root", "-1", "4294967295", "4294967296", "no such name", "two\nlines", "root:x", "08"} {
		rows = append(rows,
			row{[]string{"--uid", id}, "--uid"},
			row{[]string{"--gid=" + id}, "--gid"},
			row{[]string{"-G", "1," + id}, "--groups"},
			row{[]string{"-G", id + ",1"}, "--groups"})
	}
	rows = append(rows,
		row{[]string{"-G", "0"}, "--groups"},
		row{[]string{"-G", "root"}, "--groups"},
		row{[]string{"-G", "1,,2"}, "--groups"},
		row{[]string{"-G", ","}, "--groups"},
		row{[]string{"-G", strings.Repeat("1,", 256) + "1"}, "256"})
	marker := filepath.Join(t.TempDir(), "marker")
	for _, r := range rows {
		t.Run(strings.Join(r.options, " "), func(t *testing.T) {
			h := start(t, append(r.options, "--capture-output", "--", "touch", marker)...)
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(r.word)
			if _, err := os.Stat(marker); err == nil {
				t.Fatal("the program was started")
			}
		})
	}
}

func TestIncompleteCommandLineIsRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		word string
	}{
		{nil, "no program"},
		{[]string{"--"}, "no program"},
		{[]string{"--capture-output"}, "no program"},
		{[]string{"-k250", "--"}, "no program"},
		{[]string{"-k"}, "--delay-to-sigkill"},
		{[]string{"--uid"}, "--uid"},
		{[]string{"--capture-output", "-0"}, "--arg0"},
		{[]string{"--stdio-window"}, "--stdio-window"},
		{[]string{"-c"}, "--controller"},
		{[]string{"-s"}, "--set"},
		{[]string{"-g"}, "--group"},
		{[]string{"-G"}, "--groups"},
		{[]string{"-a"}, "--gid"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			h := start(t, c.args...)
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(c.word)
		})
	}
}

func TestEnvironmentIsUnchanged(t *testing.T) {
	var want []string
	h := startWith(t, func(c *exec.Cmd) {
		c.Env = []string{"PATH=/usr/bin:/bin", "EMPTY=", "LINES=a\nb", "BYTES=\xff\xfe", "EQUALS=a=b=c", "no equals sign", "GOMAXPROCS=1", c.Env[len(c.Env)-1]}
		want = c.Env
	}, "--capture-output", "env", "-0")
	h.wantOutput(strings.Join(want, "\x00") + "\x00")
	h.wantStatus(0)
}

func TestWorkingDirectoryIsUnchanged(t *testing.T) {
	dir := openDir(t)
	h := startWith(t, func(c *exec.Cmd) { c.Dir = dir }, "--capture-output", "readlink", "/proc/self/cwd")
	h.wantOutput(dir + "\n")
	h.wantStatus(0)
}

func TestUmaskIsUnchanged(t *testing.T) {
	h := startWith(t, throughShell("umask 0137"), "--capture-output", "sh", "-c", "umask")
	h.wantOutput("0137\n")
	h.wantStatus(0)
}
