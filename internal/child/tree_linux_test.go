// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// startTree starts a shell that prints pids, which are returned with its own in
// front. All are killed in the end.
func startTree(t *testing.T, script string) []int {
	t.Helper()
	c := exec.Command("sh", "-c", script+"; echo; exec sleep 1000")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pids := []int{c.Process.Pid}
	t.Cleanup(func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = c.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "" {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// A child, a grandchild, a child in its own session and one that is stopped.
const bush = `sleep 1000 & echo $!
	sh -c 'sleep 1000 & echo $!; echo $$; exec sleep 1000' &
	setsid sleep 1000 & echo $!
	sleep 1000 & echo $!; kill -STOP $!
	sleep 0.2`

func TestBothWaysToFindChildrenAgree(t *testing.T) {
	pids := startTree(t, bush)
	of := scan()
	found := 0
	for _, pid := range append(pids, os.Getpid()) {
		quick, slow := childrenOf(pid), of(pid)
		slices.Sort(quick)
		slices.Sort(slow)
		if pid == os.Getpid() { // other tests have children too
			if !slices.Contains(quick, pids[0]) || !slices.Contains(slow, pids[0]) {
				t.Errorf("own children: %v and %v, without %d", quick, slow, pids[0])
			}
			continue
		}
		if !slices.Equal(quick, slow) {
			t.Errorf("children of %d: %v by the kernel's list, %v by scanning", pid, quick, slow)
		}
		found += len(quick)
	}
	if want := len(pids) - 1; found != want {
		t.Errorf("%d descendants of %v, want %d", found, pids, want)
	}
}

func TestChildrenOfEveryThreadAreFound(t *testing.T) {
	const n = 4
	var pids []int
	started := make(chan int)
	stop, done := make(chan bool), make(chan bool)
	for range n {
		go func() { // on a thread of its own, as long as the child lives
			runtime.LockOSThread()
			c := exec.Command("sleep", "1000")
			if err := c.Start(); err != nil {
				t.Error(err)
				started <- 0
				return
			}
			started <- c.Process.Pid
			<-stop
			_ = c.Process.Kill()
			_ = c.Wait()
			done <- true
		}()
	}
	for range n {
		pids = append(pids, <-started)
	}
	got := childrenOf(os.Getpid())
	for _, pid := range pids {
		if !slices.Contains(got, pid) {
			t.Errorf("%v is without %d", got, pid)
		}
	}
	close(stop)
	for range n {
		<-done
	}
}

func TestProcessesThatAreNotHaveNoChildrenAndNoParent(t *testing.T) {
	gone := reaped(t)
	if kids := childrenOf(gone); len(kids) > 0 {
		t.Errorf("children %v", kids)
	}
	if parent := proc.Parent(gone); parent != 0 {
		t.Errorf("parent %d", parent)
	}
	if parent := proc.Parent(1); parent != 0 {
		t.Errorf("the first process has parent %d", parent)
	}
}

// reaped is the pid of a process that is no more.
func reaped(t *testing.T) int {
	t.Helper()
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

func TestParentIsFoundBehindEveryName(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sleep", "a b", "a) S 1 (b", ")", "(", ") R 1", " ", ") ", "\n) S 1", "1 2 3 4", "ünï) cödé"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			if err := os.Symlink(sleep, file); err != nil {
				t.Fatal(err)
			}
			c := exec.Command(file, "1000")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = c.Process.Kill()
				_ = c.Wait()
			}()
			if got := proc.Parent(c.Process.Pid); got != os.Getpid() {
				stat, _ := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/stat")
				t.Errorf("%d, want %d: %s", got, os.Getpid(), stat)
			}
		})
	}
}

func TestOnlyChildrenOfTheTreeAreSignalled(t *testing.T) {
	pids := startTree(t, "sleep 1000 & echo $!")
	program, member := pids[0], pids[1]
	for _, c := range []struct {
		name    string
		parents []int
		reaches bool
	}{
		{"no tree", nil, false},
		{"another tree", []int{os.Getpid(), 1}, false},
		{"itself only", []int{member}, false},
		{"its tree", []int{os.Getpid(), program}, true}, // the last: it kills
	} {
		parents := map[int]bool{}
		for _, pid := range c.parents {
			parents[pid] = true
		}
		if err := signalChildOf(parents, member, unix.SIGKILL); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := pendingKill(t, member); got != c.reaches {
			t.Errorf("%s: killed %v, want %v", c.name, got, c.reaches)
		}
	}
}

// pendingKill tells whether a process is dead, dying, or about to.
func pendingKill(t *testing.T, pid int) bool {
	t.Helper()
	return pending(t, pid, unix.SIGKILL)
}

// pending tells whether a process is dead, or is about to take a signal.
func pending(t *testing.T, pid int, sig syscall.Signal) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return true
			}
		case "SigPnd", "ShdPnd":
			if set, err := strconv.ParseUint(value, 16, 64); err != nil || set>>(sig-1)&1 != 0 {
				return true
			}
		}
	}
	return false
}

// subreaper makes this process one until the test is over.
func subreaper(t *testing.T) {
	t.Helper()
	set := func(to uintptr) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, to, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	set(1)
	t.Cleanup(func() { set(0) })
}

// ends tells whether a process ends, of SIGTERM, within a time that is ample for that.
func ends(t *testing.T, pid int) bool {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// The children of one who dies during the walk come to where the walk has been already:
// here, one round of some twenty.
func TestOrphansOfWhoDiesMeanwhileAreTold(t *testing.T) {
	subreaper(t)
	for i := range 300 {
		orphan := 0
		told := t.Run(strconv.Itoa(i), func(t *testing.T) {
			pids := startTree(t, "sleep 1000 & echo $!")
			orphan = pids[1]
			go syscall.Kill(pids[0], syscall.SIGKILL)
			if err := new(Tree).Terminate(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			if !ends(t, orphan) {
				t.Fatal("an orphan was not told")
			}
		})
		if !told {
			break
		}
		_, _ = unix.Wait4(orphan, nil, 0, nil)
	}
}

// Children that come between the look at their parent and its signal. It then dies, which
// takes a moment, and who looks for newcomers meanwhile does not find them.
func TestWhoIsForkedMeanwhileIsTold(t *testing.T) {
	subreaper(t)
	for i := range 100 {
		told := t.Run(strconv.Itoa(i), func(t *testing.T) {
			startTree(t, "echo; while :; do sleep 1000 & done")
			wantAllTold(t)
		})
		killAll(t)
		if !told {
			break
		}
	}
}

// wantAllTold wants SIGTERM to be the end of all in the tree, sooner or later.
func wantAllTold(t *testing.T) {
	t.Helper()
	tree := new(Tree)
	if err := tree.Terminate(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	for pids := tree.Members(); len(pids) > 0; pids = tree.Members() {
		for _, pid := range pids {
			if !ends(t, pid) {
				t.Fatalf("%d was not told", pid)
			}
		}
	}
}

// killAll kills what is left in the tree, and waits for all children, orphans too.
func killAll(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(soon); ; {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case err == unix.ECHILD:
			return
		case time.Now().After(end):
			t.Fatal("there are children left")
		case pid == 0:
			_ = new(Tree).Kill()
		}
	}
}

// As C libraries fork, but slow.
func TestWhoIsForkedWithSIGTERMBlockedIsTold(t *testing.T) {
	subreaper(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	t.Run("", func(t *testing.T) {
		startTree(t, `exec perl -MPOSIX -e '
			$| = 1;
			sub pause { select(undef, undef, undef, 0.02) }
			my ($term, $pending) = (POSIX::SigSet->new(SIGTERM), POSIX::SigSet->new);
			sigprocmask(SIG_BLOCK, $term);
			print "\n";
			do { pause; sigpending($pending) } until $pending->ismember(SIGTERM);
			if (my $child = fork) {
				open my $file, ">", "`+pidFile+`";
				print $file $child;
				close $file;
				pause;
			}
			sigprocmask(SIG_UNBLOCK, $term);
			exec "sleep", "1000"'`)
		wantAllTold(t)
	})
	killAll(t)
	if pid, err := os.ReadFile(pidFile); len(pid) == 0 {
		t.Errorf("it has not forked: %v", err)
	}
}

func TestWhatIsStartedToTidyUpIsLeftAlone(t *testing.T) {
	for name, trap := range map[string]string{
		"with a handler":              "sleep 1000 & echo $!",
		"with one that resets itself": "trap - TERM; sleep 1000 & echo $!",
	} {
		t.Run(name, func(t *testing.T) {
			subreaper(t)
			c := exec.Command("sh", "-c", "trap '"+trap+"' TERM; echo ready; while :; do wait; sleep 0.01; done")
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			helper := 0
			defer func() {
				_ = c.Process.Kill()
				_ = c.Wait()
				if helper > 0 {
					_ = syscall.Kill(helper, syscall.SIGKILL) // it is this process's now
					_, _ = unix.Wait4(helper, nil, 0, nil)
				}
			}()
			lines := bufio.NewScanner(out)
			lines.Scan()
			if err := new(Tree).Terminate(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			lines.Scan()
			if helper, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if pending(t, helper, unix.SIGTERM) {
				t.Error("it was told, too")
			}
		})
	}
}

func TestSignalToAProcessThatIsGoneIsNoError(t *testing.T) {
	gone := reaped(t)
	if err := signalChildOf(map[int]bool{os.Getpid(): true, 0: true}, gone, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestChildrenFromBeforeAreNoMembers(t *testing.T) {
	pids := startTree(t, bush)
	tree := &Tree{foreign: map[int]bool{pids[0]: true}}
	for _, pid := range tree.Members() {
		if slices.Contains(pids, pid) {
			t.Errorf("%d of %v is a member", pid, pids)
		}
	}
	tree = &Tree{}
	members := tree.Members()
	for _, pid := range pids {
		if !slices.Contains(members, pid) {
			t.Errorf("%d of %v is no member", pid, pids)
		}
	}
}
