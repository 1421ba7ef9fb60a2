// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const pipeSize = 64 << 10 // of a pipe as the kernel makes it

// closing makes a command start with some of its standard descriptors closed:
// as in ">&- 2>&-".
func closing(redirections string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `exec "$@" ` + redirections, "sh", muontrap}, cmd.Args[1:]...)
	}
}

func TestStartedWithoutStdinItStops(t *testing.T) {
	for _, closed := range []string{"<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"} {
		for _, capture := range []string{"--capture-output", "--capture-stderr-only", "--capture-stderr"} {
			t.Run(closed+" "+capture, func(t *testing.T) {
				startWith(t, closing(closed), capture, "--", "sleep", "1000").wantStatus(1)
			})
		}
	}
}

func TestStartedWithoutStdoutOrStderr(t *testing.T) {
	for _, closed := range []string{">&-", "2>&-", ">&- 2>&-"} {
		t.Run(closed, func(t *testing.T) {
			links := filepath.Join(t.TempDir(), "links")
			h := startWith(t, closing(closed), "--", "sh", "-c",
				`l=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo "$l" >"$0"; exit 3`, links)
			h.wantStatus(3)
			stderr := h.stderr.Name()
			if strings.Contains(closed, "2") {
				stderr = "/dev/null"
			}
			got := readLines(t, links)
			if len(got) != 3 || !strings.HasPrefix(got[0], "pipe:[") || got[1] != "/dev/null" || got[2] != stderr {
				t.Errorf("the program's descriptors are %q", got)
			}
		})
	}
}

func TestStartedWithoutStdoutAProgramThatIsCapturedCanBeStopped(t *testing.T) {
	for _, closed := range []string{">&-", ">&- 2>&-"} {
		t.Run(closed, func(t *testing.T) {
			h := startWith(t, closing(closed), "--capture-output", "--", "yes")
			h.program()
			h.closeStdin()
			h.wantStatus(1)
		})
	}
}

func TestStartedWithoutStderrMessagesAreLostAndNothingElse(t *testing.T) {
	h := startWith(t, closing("2>&-"), "--capture-output", "--", "sh", "-c", "echo hello; exec sleep 1000")
	h.read(6)
	h.ack(7)
	h.wantStatus(1)
	if rest := h.readRest(); len(rest) > 0 {
		t.Errorf("%q came as output", rest)
	}
}

func TestStdinThatIsAtItsEndStopsTheProgram(t *testing.T) {
	file := func(content string) func(t *testing.T) *os.File {
		return func(t *testing.T) *os.File {
			name := filepath.Join(t.TempDir(), "stdin")
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			return openFile(t, name, os.O_RDONLY)
		}
	}
	path := func(name string) func(t *testing.T) *os.File {
		return func(t *testing.T) *os.File { return openFile(t, name, os.O_RDONLY) }
	}
	const violation = "muontrap: protocol violation"
	for _, c := range []struct {
		name    string
		open    func(t *testing.T) *os.File
		message string
	}{
		{"file", file("hello"), violation},
		{"empty file", file(""), ""},
		{"/dev/null", path("/dev/null"), ""},
		{"/dev/zero", path("/dev/zero"), violation},
		{"directory", path("/"), ""},
		{"write only", func(t *testing.T) *os.File { return openFile(t, "/dev/null", os.O_WRONLY) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdin := c.open(t)
			h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdin = stdin }, "sleep", "1000")
			h.wantStatus(1)
			if m := h.messages(); !strings.HasPrefix(m, c.message) || (m == "") != (c.message == "") {
				t.Errorf("message %q, want %q", m, c.message)
			}
		})
	}
}

func TestEndOfStdinOfAnyKindStopsTheProgram(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T) (ours, theirs *os.File)
		end  func(t *testing.T, ours *os.File)
	}{
		{"tty, ^D", openPTY, func(t *testing.T, master *os.File) {
			if _, err := master.Write([]byte{4}); err != nil {
				t.Fatal(err)
			}
		}},
		{"tty, hang-up", openPTY, closeFile},
		{"socket, half closed", socketPair, func(t *testing.T, s *os.File) {
			withFD(t, s, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
		}},
		{"socket, closed", socketPair, closeFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := c.open(t)
			h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdin = theirs }, "sleep", "1000")
			h.program()
			h.wantIdle()
			if nonblocking(t, theirs) {
				t.Error("muontrap made its stdin non-blocking")
			}
			c.end(t, ours)
			h.wantStatus(1)
		})
	}
}

func TestHangUpOfTheControllingTerminalStopsTheProgram(t *testing.T) {
	master, slave := openPTY(t)
	h := startWith(t, func(cmd *exec.Cmd) {
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}, "sleep", "1000")
	slave.Close()
	h.program()
	master.Close()
	// SIGHUP and the end of stdin come together.
	if got := h.status(); got != 1 && got != 128+int(syscall.SIGHUP) {
		t.Errorf("status %d", got)
	}
}

func TestOutputGoesIntoAFile(t *testing.T) {
	const size = 1e6
	for name, flag := range map[string]int{"plain": 0, "append": os.O_APPEND} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "output")
			file := openFile(t, path, os.O_WRONLY|os.O_CREATE|flag)
			if _, err := file.WriteString("before\n"); err != nil {
				t.Fatal(err)
			}
			h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdout = file },
				"--capture-output", windowOption(size), "--", self, "@bytes", strconv.Itoa(size))
			eventually(t, "all output to be there", func() bool {
				st, err := os.Stat(path)
				return err == nil && st.Size() == int64(len("before\n")+size)
			})
			h.ack(size)
			h.wantStatus(0)
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append([]byte("before\n"), testBytes(size)...)) {
				t.Error("the content differs")
			}
		})
	}
}

func TestOutputThatCannotBeWrittenStopsTheProgram(t *testing.T) {
	readOnly := func(name string) func(t *testing.T) *os.File {
		return func(t *testing.T) *os.File { return openFile(t, name, os.O_RDONLY) }
	}
	for _, c := range []struct {
		name string
		open func(t *testing.T) *os.File
		why  string
	}{
		{"full device", func(t *testing.T) *os.File { return openFile(t, "/dev/full", os.O_WRONLY) }, "no space left on device"},
		{"file that is read only", readOnly(self), "bad file descriptor"},
		{"device that is read only", readOnly("/dev/null"), "bad file descriptor"},
		{"wrong end of a pipe", func(t *testing.T) *os.File {
			r, _ := pipe(t)
			return r
		}, "bad file descriptor"},
	} {
		for state, program := range map[string][]string{"runs": {"yes"}, "gone": {"echo", "hello"}} {
			t.Run(c.name+", program "+state, func(t *testing.T) {
				for range 20 { // its end may come before the error, after it, and amid it
					stdout := c.open(t)
					h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdout = stdout },
						append([]string{"--capture-output", "--"}, program...)...)
					h.wantStatus(1)
					want := "muontrap: cannot write the program's output: " + c.why + "\n"
					if got := h.messages(); got != want {
						t.Fatalf("message %q, want %q", got, want)
					}
				}
			})
		}
	}
}

func TestStdoutThatNobodyReadsDoesNotKeepItFromStopping(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (ours, theirs *os.File){
		"socket": socketPair,
		"tty":    openPTY,
		"full pipe": func(t *testing.T) (ours, theirs *os.File) {
			ours, theirs = pipe(t)
			fill(t, theirs)
			return ours, theirs
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, theirs := open(t)
			h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdout = theirs },
				"--capture-output", windowOption(1<<20), "--", "yes")
			h.awaitHeldBack()
			h.wantIdle()
			h.closeStdin()
			h.wantStatus(1)
		})
	}
}

func TestOutputFollowsWhatIsInThePipeAlready(t *testing.T) {
	h := startWith(t, func(cmd *exec.Cmd) { fill(t, cmd.Stdout.(*os.File)) },
		"--capture-output", "--", "seq", "1", "1000")
	h.read(pipeSize)
	if !bytes.Equal(h.readAll(), numbers(1000)) {
		t.Error("the output differs")
	}
	h.wantStatus(0)
}

func TestStderrThatTakesNothingDoesNotHoldUpAnything(t *testing.T) {
	stderrs := map[string]func(t *testing.T) *os.File{
		"full pipe": func(t *testing.T) *os.File {
			_, w := pipe(t)
			fill(t, w)
			return w
		},
		"broken pipe": func(t *testing.T) *os.File {
			r, w := pipe(t)
			r.Close()
			return w
		},
		"full device": func(t *testing.T) *os.File { return openFile(t, "/dev/full", os.O_WRONLY) },
	}
	for name, open := range stderrs {
		for _, c := range []struct {
			message string
			args    []string
			cause   func(h *host)
			status  int
		}{
			{"protocol violation", []string{"--capture-output", "sleep", "1000"}, func(h *host) { h.ack(1) }, 1},
			{"bad option", []string{"--no-such-option"}, nil, 1},
			{"not found", []string{"/no/such/program"}, nil, 127},
			{"none", []string{"sh", "-c", "exit 3"}, nil, 3},
		} {
			t.Run(name+", "+c.message, func(t *testing.T) {
				stderr := open(t)
				h := startWith(t, func(cmd *exec.Cmd) { cmd.Stderr = stderr }, c.args...)
				if c.cause != nil {
					c.cause(h)
				}
				h.wantStatus(c.status)
			})
		}
	}
}

func TestStdinAndStdoutMayBeOneSocket(t *testing.T) {
	const size, window = 1e6, 10240
	for _, a := range ackers {
		t.Run(a.name, func(t *testing.T) {
			h := startOnSocket(t, "--capture-output", windowOption(window), "--", self, "@bytes", strconv.Itoa(size))
			tr := transfer{h: h, window: window, size: size, reader: readers[0], acker: a}
			tr.run()
			tr.want(testBytes(size), 0)
		})
	}
}

func TestSocketClosedWithOutputUnreadStopsTheProgram(t *testing.T) {
	h := startOnSocket(t, "--capture-output", "--", "yes")
	h.read(100)
	h.awaitUnread(100)
	h.stdout.Close()
	h.wantStatus(1)
}

// startOnSocket makes one socket both stdin and stdout.
func startOnSocket(t *testing.T, args ...string) *host {
	t.Helper()
	ours, theirs := socketPair(t)
	h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stdout = theirs, theirs }, args...)
	theirs.Close()
	h.stdin.Close()
	h.stdout.Close()
	h.stdin, h.stdout = ours, ours
	return h
}

func TestNonblockingDescriptorsAreFineAndStayWhatTheyAre(t *testing.T) {
	const size, window = 1e6, 10240
	for name, open := range map[string]func(t *testing.T) (ours, theirs *os.File){
		"pipe":   pipe,
		"socket": socketPair,
	} {
		t.Run(name, func(t *testing.T) {
			acks, stdin := socketPair(t)
			output, stdout := open(t)
			h := startWith(t, func(cmd *exec.Cmd) {
				cmd.Stdin, cmd.Stdout = stdin, stdout
				cmd.Path, cmd.Args = self, append([]string{self, "@nonblocking", muontrap}, cmd.Args[1:]...)
			}, "--capture-output", windowOption(window), "--", self, "@bytes", strconv.Itoa(size))
			h.closeStdin()
			h.stdout.Close()
			h.stdin, h.stdout = acks, output
			tr := transfer{h: h, window: window, size: size, reader: readers[2], acker: ackers[1]}
			h.ack(len(h.read(1)))
			tr.got = testBytes(1)
			if !nonblocking(t, stdin) || !nonblocking(t, stdout) {
				t.Error("muontrap made a descriptor blocking")
			}
			stdout.Close()
			tr.run()
			tr.want(testBytes(size), 0)
		})
	}
}

// Others may share these descriptions: a shell, the host itself.
func TestBlockingDescriptorsStayBlocking(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (ours, theirs *os.File){
		"pipe":      pipe,
		"socket":    socketPair,
		"tty":       openPTY,
		"/dev/null": func(t *testing.T) (ours, theirs *os.File) { return nil, openFile(t, "/dev/null", os.O_WRONLY) },
		"file": func(t *testing.T) (ours, theirs *os.File) {
			return nil, openFile(t, filepath.Join(t.TempDir(), "output"), os.O_WRONLY|os.O_CREATE)
		},
	} {
		t.Run(name, func(t *testing.T) {
			acks, stdin := socketPair(t)
			_, stdout := open(t)
			_, stderr := pipe(t)
			h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr },
				"--capture-output", windowOption(1<<20), "--", "yes")
			h.closeStdin()
			h.stdin = acks
			wantBlocking := func() {
				t.Helper()
				for fd, f := range []*os.File{stdin, stdout, stderr} {
					if nonblocking(t, f) {
						t.Errorf("descriptor %d is non-blocking", fd)
					}
				}
			}
			h.awaitHeldBack()
			wantBlocking()
			h.ack(2 << 20) // far too much: there is a message, and an end
			h.wantStatus(1)
			wantBlocking()
		})
	}
}

func TestProgramGetsThreeDescriptorsAndTheInheritedOnes(t *testing.T) {
	for _, options := range [][]string{
		nil,
		{"--capture-stderr"},
		{"--capture-output"},
		{"--capture-output", "--capture-stderr", windowOption(1 << 20)},
		{"--capture-stderr-only"},
	} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			seventh, _ := pipe(t)
			h := startWith(t, func(cmd *exec.Cmd) {
				cmd.ExtraFiles = []*os.File{7 - 3: seventh}
				cmd.Path, cmd.Args = self, append([]string{self, "@up-to-seven", muontrap}, cmd.Args[1:]...)
			}, append(options, "--", "sleep", "1000")...)
			program := h.program()
			var got []string
			defer func() { t.Logf("the program has descriptors %v", got) }()
			// Loading it takes some for a moment.
			eventually(t, "the program to have descriptors 0, 1, 2 and 7", func() bool {
				got = descriptors(program)
				return slices.Equal(got, []string{"0", "1", "2", "7"})
			})
		})
	}
}

// descriptors lists what a process has open.
func descriptors(pid int) (fds []string) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		fds = append(fds, e.Name())
	}
	return fds
}

func openFile(t *testing.T, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func closeFile(t *testing.T, f *os.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill writes to a fresh pipe all that it takes.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if _, err := w.Write(make([]byte, pipeSize)); err != nil {
		t.Fatal(err)
	}
}

// nonblocking tells whether a file's description has O_NONBLOCK set.
func nonblocking(t *testing.T, f *os.File) bool {
	t.Helper()
	var flags int
	withFD(t, f, func(fd int) (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	return flags&unix.O_NONBLOCK != 0
}

// socketPair returns two connected sockets, the second for muontrap.
func socketPair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pollable(t, fds[0], "socket"), keep(t, fds[1], "socket")
}

// openPTY returns both sides of a terminal, the second for muontrap.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = pollable(t, fd, "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	fd, err = unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, keep(t, fd, name)
}

// makeRaw lets every byte through a terminal as it is.
func makeRaw(t *testing.T, tty *os.File) {
	t.Helper()
	withFD(t, tty, func(fd int) error {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	})
}

// pollable makes a file with deadlines.
func pollable(t *testing.T, fd int, name string) *os.File {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return keep(t, fd, name)
}

// keep makes a file that the test's end closes.
func keep(t *testing.T, fd int, name string) *os.File {
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}
