// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	fixtures["@argv"] = fixtureArgv
	fixtures["@stdin"] = fixtureStdin
	fixtures["@last-words"] = fixtureLastWords
	fixtures["@mask"] = fixtureMask
	fixtures["@etc"] = fixtureEtc
}

// fixtureArgv writes its argument vector, a NUL after each word.
func fixtureArgv([]string) int {
	fmt.Print(strings.Join(os.Args, "\x00"), "\x00")
	return 0
}

// fixtureStdin tells whether there is anything to read on stdin, and how many
// bytes there were in the end. It ignores SIGTERM.
func fixtureStdin([]string) int {
	signal.Ignore(syscall.SIGTERM)
	n, err := unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, 200)
	fmt.Println(n, err)
	all, err := io.ReadAll(os.Stdin)
	fmt.Println(len(all), err)
	return 0
}

// fixtureLastWords says how many bytes of last words it writes after SIGTERM.
func fixtureLastWords(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	fmt.Println("ready")
	<-told
	if _, err := os.Stdout.Write(testBytes(n)); err != nil {
		return 1
	}
	return 7
}

// fixtureMask executes a command with the signals blocked that come before "--".
func fixtureMask(args []string) int {
	runtime.LockOSThread()
	end := slices.Index(args, "--")
	var set unix.Sigset_t
	for _, a := range args[:end] {
		n, err := strconv.Atoi(a)
		if err != nil {
			return 125
		}
		set.Val[(n-1)/64] |= 1 << ((n - 1) % 64)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil); err != nil {
		return fixtureFailed(err)
	}
	return execute(args[end+1:])
}

// fixtureEtc executes a command that finds these two files as /etc/passwd and
// /etc/group. Nobody else does: the mounts are in a namespace of its own.
func fixtureEtc(args []string) int {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fixtureFailed(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fixtureFailed(err)
	}
	for i, target := range []string{"/etc/passwd", "/etc/group"} {
		if err := unix.Mount(args[i], target, "", unix.MS_BIND, ""); err != nil {
			return fixtureFailed(err)
		}
	}
	return execute(args[2:])
}

// execute replaces the fixture; it returns only on failure.
func execute(argv []string) int {
	return fixtureFailed(syscall.Exec(argv[0], argv, os.Environ()))
}

func fixtureFailed(err error) int {
	fmt.Fprintln(os.Stderr, "fixture:", err)
	return 125
}

// through lets a command exec muontrap with its arguments.
func through(prefix ...string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Args = append(slices.Clone(prefix), append([]string{muontrap}, c.Args[1:]...)...)
		c.Path = prefix[0]
	}
}

// throughShell lets a shell exec muontrap after a preparation.
func throughShell(preparation string) func(*exec.Cmd) {
	return through("/bin/sh", "-c", preparation+`; exec "$@"`, "sh")
}

// throughMask starts muontrap with these signals blocked.
func throughMask(sigs ...syscall.Signal) func(*exec.Cmd) {
	args := []string{self, "@mask"}
	for _, s := range sigs {
		args = append(args, strconv.Itoa(int(s)))
	}
	return through(append(args, "--")...)
}

// lastSignal is the one that muontrap takes after all others, and that the Go runtime
// leaves alone.
const lastSignal = syscall.Signal(32)

// startArmed starts muontrap and waits until it hears every signal.
func startArmed(t *testing.T, args ...string) *host {
	t.Helper()
	h := start(t, args...)
	h.armed()
	return h
}

// armed waits until muontrap hears every signal.
func (h *host) armed() {
	h.t.Helper()
	eventually(h.t, "muontrap to hear signals", func() bool { return hearsAll(h.t, h.cmd.Process.Pid) })
}

// hearsAll tells whether a process is a muontrap that hears every signal.
func hearsAll(t *testing.T, pid int) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && runs(pid, muontrap) && signalSet(t, procStatus(status)["SigCgt"])[lastSignal]
}

// runs tells whether a process executes this file.
func runs(pid int, file string) bool {
	is, err1 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	want, err2 := os.Stat(file)
	return err1 == nil && err2 == nil && os.SameFile(is, want)
}

// procStatus splits the text of /proc/PID/status.
func procStatus(text []byte) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// signalSet reads a set of signals as /proc/PID/status has it.
func signalSet(t *testing.T, hex string) map[syscall.Signal]bool {
	t.Helper()
	bits, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	set := map[syscall.Signal]bool{}
	for s := syscall.Signal(1); s <= 64; s++ {
		if bits>>(s-1)&1 != 0 {
			set[s] = true
		}
	}
	return set
}

// readLine returns the next line of output, without its newline, and
// acknowledges it.
func (h *host) readLine() string {
	h.t.Helper()
	var line []byte
	for {
		b := h.read(1)
		h.ack(1)
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// readPID returns the next line of output as a process ID.
func (h *host) readPID() int {
	h.t.Helper()
	pid, err := strconv.Atoi(h.readLine())
	if err != nil {
		h.t.Fatal(err)
	}
	return pid
}

// wantOutput reads everything and compares it.
func (h *host) wantOutput(want string) {
	h.t.Helper()
	if got := string(h.readAll()); got != want {
		h.t.Fatalf("output %q, want %q; messages: %q", got, want, h.messages())
	}
}

// wantOneMessage checks that there is exactly one line on stderr, that it is
// muontrap's, and that it holds these words.
func (h *host) wantOneMessage(words ...string) {
	h.t.Helper()
	got := h.messages()
	if !strings.HasPrefix(got, "muontrap: ") || strings.Index(got, "\n") != len(got)-1 {
		h.t.Fatalf("messages %q, want one line that begins with muontrap:", got)
	}
	for _, w := range words {
		if !strings.Contains(got, w) {
			h.t.Fatalf("message %q says nothing of %q", got, w)
		}
	}
}

// wantNoMessages checks that nothing came on stderr.
func (h *host) wantNoMessages() {
	h.t.Helper()
	if got := h.messages(); got != "" {
		h.t.Fatalf("messages %q, want none", got)
	}
}

// openDir makes a directory that every user can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "muontrap-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeFile makes a file with exactly this mode. No process is forked
// meanwhile: it would hold the file open for writing, and that can't be run.
func writeFile(t *testing.T, path string, mode os.FileMode, content string) string {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}
