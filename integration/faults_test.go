// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noProcess makes fork fail, and lets the Go runtime have its threads.
func noProcess(err syscall.Errno) fault {
	return failingIf(unix.SYS_CLONE, 0, unix.CLONE_THREAD, 0, err)
}

func TestFaultInSetupStartsNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   fault
		options []string
	}{
		{"no process for now", noProcess(unix.EAGAIN), nil},
		{"no memory for a process", noProcess(unix.ENOMEM), nil},
		{"no pipe at all", failing(unix.SYS_PIPE2, unix.EMFILE), nil},
		{"no pipe for the program", failingIf(unix.SYS_PIPE2, 1, ^uint32(0), unix.O_CLOEXEC, unix.ENFILE), nil},
		{"groups are not ours to set", failing(unix.SYS_SETGROUPS, unix.EPERM), []string{"--uid", "nobody"}},
		{"the group is not ours to set", failing(unix.SYS_SETGID, unix.EPERM), []string{"--gid", "1"}},
		{"the user is not ours to set", failing(unix.SYS_SETUID, unix.EPERM), []string{"--uid", "1"}},
		{"the user has too many processes", failing(unix.SYS_SETUID, unix.EAGAIN), []string{"--uid", "1"}},
		{"no parent-death signal", failingIf(unix.SYS_PRCTL, 0, ^uint32(0), unix.PR_SET_PDEATHSIG, unix.EINVAL), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker := openDir(t) + "/marker"
			h := startWith(t, throughFaults(c.fault), append(c.options, "--capture-output", "--", "touch", marker)...)
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(c.fault.err.Error())
			if _, err := os.Stat(marker); err == nil {
				t.Error("the program was started")
			}
		})
	}
}

// noPidfd are the ways of a kernel or a container to have no pidfd_open(2).
var noPidfd = map[string][]fault{
	"ENOSYS": {failing(unix.SYS_PIDFD_OPEN, unix.ENOSYS)},
	"EPERM":  {failing(unix.SYS_PIDFD_OPEN, unix.EPERM)},
	"EMFILE": {failing(unix.SYS_PIDFD_OPEN, unix.EMFILE)},
}

func TestWithoutPidfdEveryEndIsNoticed(t *testing.T) {
	for name, faults := range noPidfd {
		t.Run(name, func(t *testing.T) {
			for i := range 50 {
				h := startWith(t, throughFaults(faults...), "--capture-output", "sh", "-c", fmt.Sprintf("echo hello; exit %d", i))
				h.wantOutput("hello\n")
				h.wantStatus(i)
			}
		})
	}
}

func TestWithoutPidfdALateEndIsNoticed(t *testing.T) {
	for name, faults := range noPidfd {
		t.Run(name, func(t *testing.T) {
			h := startFaulty(t, faults, "--capture-output", "sh", "-c", "echo $$; exec sleep 1000")
			if err := syscall.Kill(h.readPID(), syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			h.wantStatus(128 + 12)
		})
	}
}

func TestWithoutPidfdAnUnrelatedChildIsOverlooked(t *testing.T) {
	for name, faults := range noPidfd {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, through(append([]string{"/bin/sh", "-c", `(exit 9) & sleep 0.1 & sleep 0.2 & exec "$@"`, "sh"}, faultArgs(faults)...)...),
				"sh", "-c", "sleep 0.4; exit 3")
			h.wantStatus(3)
		})
	}
}

func TestWithoutPidfdTheProgramIsStopped(t *testing.T) {
	for name, faults := range noPidfd {
		for _, c := range []struct {
			name, prepare string
			stop          func(*host)
			status        int
		}{
			{"by SIGTERM", "", func(h *host) { h.kill(syscall.SIGTERM) }, 128 + 15},
			{"by its host", "", (*host).closeStdin, 1},
			{"though it ignores SIGTERM", "trap '' TERM;", (*host).closeStdin, 1},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				h := startFaulty(t, faults, "-k100", "--capture-output", "--", "sh", "-c", c.prepare+"echo $$; exec sleep 1000")
				program := h.readPID()
				c.stop(h)
				h.wantStatus(c.status)
				if alive(program) {
					t.Error("the program still runs")
				}
			})
		}
	}
}

func TestWithoutPidfdOutputIsDrained(t *testing.T) {
	const n = 60_000 // fits the program's pipe, and no window
	for name, faults := range noPidfd {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughFaults(faults...), "--capture-output", self, "@bytes", strconv.Itoa(n))
			eventually(t, "the program's end", func() bool {
				return runs(h.cmd.Process.Pid, muontrap) && h.window() == 10240 && len(children(h.cmd.Process.Pid)) == 0
			})
			if !bytes.Equal(h.readAll(), testBytes(n)) {
				t.Error("the bytes differ")
			}
			h.wantStatus(0)
		})
	}
}

// window is how many bytes can be read at once.
func (h *host) window() int {
	h.t.Helper()
	n, err := unix.IoctlGetInt(int(h.stdout.Fd()), unix.TIOCINQ)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// noSplice are the ways of splice(2) to refuse, and of what comes after it.
var noSplice = map[string][]fault{
	"EINVAL": {failing(unix.SYS_SPLICE, unix.EINVAL)},
	"ENOSYS": {failing(unix.SYS_SPLICE, unix.ENOSYS)},
	"ENOMEM": {failing(unix.SYS_SPLICE, unix.ENOMEM)},
	"EPERM":  {failing(unix.SYS_SPLICE, unix.EPERM)},
	"EINVAL, and no pipe can be opened anew": {
		failing(unix.SYS_SPLICE, unix.EINVAL),
		failingIf(unix.SYS_OPENAT, 2, unix.O_NONBLOCK|unix.O_WRONLY, unix.O_NONBLOCK|unix.O_WRONLY, unix.EACCES),
	},
}

func TestWithoutSpliceEveryByteArrives(t *testing.T) {
	const n = 4 << 20
	for name, faults := range noSplice {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughFaults(faults...), "--capture-output", "--stdio-window=65536", "--", self, "@bytes", strconv.Itoa(n))
			if !bytes.Equal(h.readAll(), testBytes(n)) {
				t.Error("the bytes differ")
			}
			h.wantStatus(0)
		})
	}
}

func TestWithoutSpliceASlowReaderGetsEveryByte(t *testing.T) {
	const n, piece = 300_000, 1000
	for name, faults := range noSplice {
		for _, window := range []int{16, 5000, 1 << 20} {
			t.Run(fmt.Sprint(name, " ", window), func(t *testing.T) {
				h := startWith(t, throughFaults(faults...), "--capture-output", "--stdio-window", strconv.Itoa(window), "--", self, "@bytes", strconv.Itoa(n))
				var all []byte
				for len(all) < n {
					b := h.read(min(piece, window, n-len(all)))
					h.ack(len(b))
					all = append(all, b...)
				}
				if !bytes.Equal(all, testBytes(n)) {
					t.Error("the bytes differ")
				}
				h.wantOutput("")
				h.wantStatus(0)
			})
		}
	}
}

func TestWithoutSpliceTheReaderWhoStaysAwayDoesNotDelayTheStop(t *testing.T) {
	for name, faults := range noSplice {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughFaults(faults...), "--capture-output", "--stdio-window=0x1000000", "yes")
			program := h.program()
			full := 0
			eventually(t, "the pipe to be full", func() bool {
				before := full
				full = h.window()
				return full > 32<<10 && full == before
			})
			h.closeStdin()
			h.wantStatus(1)
			if alive(program) {
				t.Error("the program still runs")
			}
		})
	}
}

func TestSmallerPipeThanTheWindowLosesNothing(t *testing.T) {
	const n = 4 << 20
	h := startWith(t, throughFaults(failingIf(unix.SYS_FCNTL, 1, ^uint32(0), unix.F_SETPIPE_SZ, unix.EPERM)),
		"--capture-output", "--stdio-window=1048576", "--", self, "@bytes", strconv.Itoa(n))
	if !bytes.Equal(h.readAll(), testBytes(n)) {
		t.Error("the bytes differ")
	}
	h.wantStatus(0)
	h.wantNoMessages()
}

func TestPipeOfUnknownSizeIsDrained(t *testing.T) {
	const n = 1 << 20
	h := startWith(t, throughFaults(failingIf(unix.SYS_FCNTL, 1, ^uint32(0), unix.F_GETPIPE_SZ, unix.EINVAL)),
		"--capture-output", "--", self, "@bytes", strconv.Itoa(n))
	if !bytes.Equal(h.readAll(), testBytes(n)) {
		t.Error("the bytes differ")
	}
	h.wantStatus(0)
}

// failingSignals makes both ways fail of sending a signal.
func failingSignals(err syscall.Errno) []fault {
	return []fault{failing(unix.SYS_KILL, err), failing(unix.SYS_PIDFD_SEND_SIGNAL, err)}
}

func TestProgramThatCannotBeSignalledIsNamedAndLeft(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	h := startFaulty(t, failingSignals(unix.EPERM), "-k100", "--capture-output", "--", "sh", "-c", "echo $$; exec sleep 1000")
	program := h.readPID()
	eventually(t, "sh to become sleep", func() bool { return processName(program) == "sleep" })
	h.kill(syscall.SIGTERM)
	h.wantStatus(128 + 15)
	if took := time.Since(begin); took < 10*time.Second {
		t.Errorf("given up after %v", took)
	}
	lines := strings.Split(h.messages(), "\n")
	name := fmt.Sprintf("process %d (sleep)", program)
	if len(lines) != 3 || !strings.Contains(lines[0], "cannot send SIGTERM to "+name) || !strings.Contains(lines[1], name+" is still there") {
		t.Errorf("messages %q", lines)
	}
	// The kernel needs no leave to kill it once muontrap is gone.
	eventually(t, "the program's end", func() bool { return !alive(program) })
}

func TestFailingKillDoesNotHideTheProgramsEnd(t *testing.T) {
	for _, err := range []syscall.Errno{unix.EPERM, unix.ESRCH} {
		t.Run(unix.ErrnoName(err), func(t *testing.T) {
			// It ends by itself, because its stdin does.
			h := startFaulty(t, failingSignals(err), "-k1000000", "--capture-output", "--", self, "@stdin")
			h.readLine()
			h.kill(syscall.SIGTERM)
			h.wantOutput("0 <nil>\n")
			h.wantStatus(128 + 15)
		})
	}
}

func TestKillThatFindsNoProcessEndsTheStop(t *testing.T) {
	t.Parallel()
	h := startFaulty(t, failingSignals(unix.ESRCH), "-k100", "--capture-output", "--", "sh", "-c", "echo $$; exec sleep 1000")
	program := h.readPID()
	h.kill(syscall.SIGTERM)
	h.wantStatus(128 + 15)
	h.wantOneMessage(fmt.Sprintf("process %d (sleep) is still there", program))
	eventually(t, "the program's end", func() bool { return !alive(program) })
}

// The Go runtime sets up a poller for the first timer, and throws if it cannot.
var noRuntimePoller = failing(unix.SYS_EPOLL_CREATE1, unix.EMFILE)

func TestFailingPollStopsTheProgram(t *testing.T) {
	for _, err := range []syscall.Errno{unix.EINVAL, unix.ENOMEM, unix.ENOSYS} {
		for _, prepare := range []string{"", "trap '' TERM;"} {
			t.Run(unix.ErrnoName(err)+" "+prepare, func(t *testing.T) {
				// Of poll and ppoll it is the latter that muontrap calls.
				h := startWith(t, throughFaults(failing(unix.SYS_PPOLL, err), noRuntimePoller), "-k1000", "--",
					"sh", "-c", prepare+"exec sleep 1000")
				h.wantStatus(1)
				h.wantOneMessage("cannot wait for events", err.Error())
				if left := tagged(h.tag); len(left) > 0 {
					t.Errorf("still running: %v", left)
				}
			})
		}
	}
}

// A signal can interrupt even a poll(2) that does not wait.
func TestInterruptedPollMakesNoMessageBlock(t *testing.T) {
	r, w := pipe(t)
	fd := int(w.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		_, err = syscall.Write(fd, make([]byte, 4096))
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	h := startWith(t, func(c *exec.Cmd) {
		throughFaults(failingIf(unix.SYS_PPOLL, 1, ^uint32(0), 1, unix.EINTR))(c)
		c.Stderr = w
	}, "no such program")
	h.wantStatus(127)
	_ = r.Close()
}
