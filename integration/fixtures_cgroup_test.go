// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	fixtures["@prepare"] = fixturePrepare
	fixtures["@holder"] = fixtureHolder
	fixtures["@hog"] = fixtureHog
	fixtures["@burn"] = fixtureBurn
	fixtures["@crowd"] = fixtureCrowd
	fixtures["@bomb"] = fixtureBomb
	fixtures["@family"] = fixtureFamily
	fixtures["@relative"] = fixtureRelative
	fixtures["@orphan"] = fixtureOrphan
}

// preparations are what a command can be started with that no exec.Cmd offers.
var preparations = map[string]func(value string) error{
	"enter":     func(dir string) error { return writeOnce(dir+"/cgroup.procs", "0") },
	"block":     blockSignal,
	"nofile":    limitDescriptors,
	"user":      becomeUser,
	"no-clone3": refuseClone3,
	"read-only": makeCgroupsReadOnly,
	"hidden":    hideCgroups,
	"namespace": unshareCgroups,
}

// fixturePrepare takes steps of the form NAME=VALUE up to "--", then executes
// the command that follows.
func fixturePrepare(args []string) int {
	runtime.LockOSThread()
	end := slices.Index(args, "--")
	for _, step := range args[:end] {
		name, value, _ := strings.Cut(step, "=")
		if err := preparations[name](value); err != nil {
			fmt.Fprintf(os.Stderr, "fixture: %s: %v\n", step, err)
			return 125
		}
	}
	err := syscall.Exec(args[end+1], args[end+1:], os.Environ())
	fmt.Fprintln(os.Stderr, "fixture:", err)
	return 125
}

// prepared starts muontrap after these steps.
func prepared(steps ...string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Args = slices.Concat([]string{self, "@prepare"}, steps, []string{"--", muontrap}, c.Args[1:])
		c.Path = self
	}
}

func blockSignal(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	var set unix.Sigset_t
	set.Val[0] = 1 << (n - 1)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

// limitDescriptors sets the soft limit only.
func limitDescriptors(value string) error {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = n
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func becomeUser(value string) error {
	id, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
}

// refuseClone3 is what old kernels and many containers do.
func refuseClone3(string) error {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE3, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// A cgroupMount is what has to be known to mount it once more.
type cgroupMount struct{ dir, fs, data string }

func cgroupMounts() (mounts []cgroupMount, err error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		fs := f[slices.Index(f, "-")+1:]
		switch fs[0] {
		case "cgroup":
			options := slices.DeleteFunc(strings.Split(fs[2], ","), func(o string) bool { return o == "rw" || o == "ro" })
			data := strings.Join(options, ",")
			if strings.Contains(data, "name=") {
				data = "none," + data
			}
			mounts = append(mounts, cgroupMount{f[4], "cgroup", data})
		case "cgroup2":
			mounts = append(mounts, cgroupMount{f[4], "cgroup2", ""})
		}
	}
	return mounts, err
}

func ownMounts(flags int) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | flags); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

func makeCgroupsReadOnly(string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	if err := ownMounts(0); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := unix.Mount("", m.dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("%s: %w", m.dir, err)
		}
	}
	return nil
}

// hideCgroups mounts something else, with directories of the same names, over all
// hierarchies, which the mount table lists nevertheless.
func hideCgroups(dir string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	if err := ownMounts(0); err != nil {
		return err
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// unshareCgroups makes where this process is the root of all hierarchies, mounts
// them anew, and moves into a group there.
func unshareCgroups(group string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	if err := ownMounts(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("%s: %w", m.dir, err)
		}
	}
	for _, m := range mounts {
		if err := unix.Mount(m.fs, m.dir, m.fs, 0, m.data); err != nil {
			return fmt.Errorf("%+v: %w", m, err)
		}
		if err := makeGroupDir(m.dir + "/" + group); err != nil {
			return err
		}
		if err := writeOnce(m.dir+"/"+group+"/cgroup.procs", "0"); err != nil {
			return err
		}
	}
	return nil
}

// fixtureHolder is a host that holds the other end of its child's stdin, and
// nobody else does.
func fixtureHolder(args []string) int {
	c := exec.Command(args[0], args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if _, err := c.StdinPipe(); err != nil {
		return 125
	}
	if err := c.Run(); err != nil {
		return 1
	}
	return 0
}

// fixtureHog takes as many MiB of memory as it is told.
func fixtureHog(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	mem, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fixture:", err)
		return 125
	}
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
	fmt.Println("full")
	return 0
}

// fixtureBurn burns CPU for so many seconds, without end if that is 0, and says
// how many percent of one CPU it got.
func fixtureBurn(args []string) int {
	seconds, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	start, cpu := time.Now(), cpuTime()
	for time.Since(start) < time.Duration(seconds)*time.Second {
	}
	fmt.Println(int(100 * (cpuTime() - cpu) / time.Since(start)))
	return 0
}

func cpuTime() time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		panic(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// tryFork makes a process with just this thread. It must get by with RawSyscall.
//
//go:nosplit
func tryFork() (pid uintptr, err syscall.Errno) {
	pid, _, err = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, err
}

// fixtureCrowd makes so many processes that wait for ever. It says when it has
// been refused one, goes on trying, and says when it has them all.
func fixtureCrowd(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	heed := !slices.Contains(args, "ignore")
	if !heed {
		signal.Ignore(syscall.SIGTERM)
	}
	var byDefault [4]uint64 // struct kernel_sigaction
	debug.SetGCPercent(-1)
	refused := false
	for made := 0; made < n; {
		pid, err := tryFork()
		switch {
		case err == 0 && pid == 0:
			if heed { // without a runtime there is nobody to handle it
				syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(syscall.SIGTERM), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
			}
			for {
				syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
			}
		case err == 0:
			made++
		case !refused:
			refused = true
			fmt.Println("refused")
		default:
			time.Sleep(5 * time.Millisecond)
		}
	}
	fmt.Println("all")
	for {
		time.Sleep(time.Hour)
	}
}

// fixtureBomb forks, and so does what it forks, without end.
func fixtureBomb(args []string) int {
	if slices.Contains(args, "ignore") {
		signal.Ignore(syscall.SIGTERM)
	}
	debug.SetGCPercent(-1)
	fmt.Println("boom")
	for {
		_, _ = tryFork()
	}
}

// fixtureFamily has a child, and a daemon that has left its family and session.
// It says "ready" when all hear SIGTERM, and each says "bye" on it. Options:
// "ignore": no, they do not hear it; "leave": the program itself ends at once,
// with status 5.
func fixtureFamily(options []string) int {
	told := hearSIGTERM(options)
	r, w, err := os.Pipe()
	if err != nil {
		return 2
	}
	child := exec.Command("/proc/self/exe", append([]string{"@relative", "child"}, options...)...)
	orphan := exec.Command("/proc/self/exe", append([]string{"@orphan"}, options...)...)
	for _, c := range []*exec.Cmd{child, orphan} {
		c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, os.Stderr, []*os.File{w}
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "fixture:", err)
			return 125
		}
	}
	w.Close()
	if err := orphan.Wait(); err != nil {
		return 125
	}
	_, _ = io.Copy(io.Discard, r)
	fmt.Println("ready")
	if slices.Contains(options, "leave") {
		return 5
	}
	<-told
	fmt.Println("bye program")
	return 0
}

// fixtureOrphan leaves a relative behind, in a session of its own.
func fixtureOrphan(options []string) int {
	c := exec.Command("/proc/self/exe", append([]string{"@relative", "daemon"}, options...)...)
	c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, os.Stderr, []*os.File{os.NewFile(3, "ready")}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return 125
	}
	return 0
}

// fixtureRelative closes descriptor 3 when it is ready.
func fixtureRelative(args []string) int {
	told := hearSIGTERM(args)
	if err := unix.Close(3); err != nil {
		return 125
	}
	<-told
	w := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(w, "bye", args[0])
	if w.Flush() != nil {
		return 1
	}
	return 0
}

func hearSIGTERM(options []string) <-chan os.Signal {
	told := make(chan os.Signal, 1)
	if slices.Contains(options, "ignore") {
		signal.Ignore(syscall.SIGTERM)
		go func() { time.Sleep(time.Hour) }() // else the runtime finds a deadlock
	} else {
		signal.Notify(told, syscall.SIGTERM)
	}
	return told
}
