// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// A process can be born into one v2 cgroup (clone3(2)). Into others it has to
// move, and moving a program that runs already would lose what it has forked
// meanwhile. So this binary is started once more, as a stage: it enters the
// cgroups, takes on the identity, and becomes the program.
//
// From the first cgroup on, the stage makes raw system calls only. The cgroup
// may allow one process and next to no memory, and a thread that the Go runtime
// then wants to start would be the end of it.

// stageName is argv[0] of the stage.
const stageName = "muontrap-stage"

// stageEnv comes before the program's environment: where the runtime has more threads than
// one, with one processor from the beginning and nothing to preempt it starts few.
var stageEnv = []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}

// What the stage was doing when it failed.
const (
	stageJoining = iota
	stageIdentity
	stageRunning
)

// report is what a failed stage tells, as it lies in memory.
type report struct {
	doing, index uint16 // index: which cgroup; when running, 1 if there was a file to run
	errno        uint32
}

const reportSize = int(unsafe.Sizeof(report{}))

// startStaged starts the program through a stage.
func startStaged(s *Spec) (*Process, error) {
	failed := &StartError{Program: s.Program, Setup: "start a process"}
	r, w, err := closeOnExecPipe()
	if err != nil {
		failed.Err = err
		return nil, failed
	}
	defer unix.Close(r)
	join := s.Join
	pid, err := forkStage(s, w, join, s.Born)
	if err != nil && s.Born > 0 {
		join = append([]int{s.Born}, join...)
		pid, err = forkStage(s, w, join, 0)
	}
	unix.Close(w)
	if err != nil {
		failed.Err = err
		return nil, failed
	}
	p := newProcess(s, pid)
	rep, ok := readReport(r)
	if !ok {
		return p, nil // it runs, or was killed before it could: its status tells
	}
	p.reap()
	failed.Err = syscall.Errno(rep.errno)
	switch rep.doing {
	case stageJoining:
		failed.Setup = "enter cgroup " + pathOf(join[rep.index])
	case stageIdentity:
		failed.Setup = "take on user and groups"
	default:
		failed.Setup = ""
		failed.Found = rep.index > 0
	}
	return nil, failed
}

func forkStage(s *Spec, report int, join []int, born int) (pid int, err error) {
	// The report's pipe and the directories stay where they are, so that they do
	// not take the place of what the program inherits.
	ours := append([]int{report}, join...)
	defer handDown(ours)()
	args := []string{stageName, strconv.Itoa(os.Getpid()), strings.Trim(fmt.Sprint(ours), "[]"), encode(s.As), s.Program}
	args = append(args, s.Args...)
	env := append(slices.Clone(stageEnv), s.Env...)
	return forkExec("/proc/self/exe", args, env, s.Files[:], &syscall.SysProcAttr{UseCgroupFD: born > 0, CgroupFD: born})
}

// handDown lets the next process have these descriptors, and none after undo.
func handDown(fds []int) (undo func()) {
	set := func(flags int) {
		for _, fd := range fds {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
		}
	}
	set(0)
	return func() { set(unix.FD_CLOEXEC) }
}

func readReport(fd int) (rep report, ok bool) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&rep)), reportSize)
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return rep, n == reportSize
		}
	}
}

func pathOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "?"
	}
	return path
}

// encode and decode carry an identity through an argument: "-", or uid, gid and,
// if groups are to be set, these: "1000:1000", "1000:1000:4,27".
func encode(as *syscall.Credential) string {
	if as == nil {
		return "-"
	}
	text := fmt.Sprintf("%d:%d", as.Uid, as.Gid)
	if as.NoSetGroups {
		return text
	}
	groups := make([]string, len(as.Groups))
	for i, gid := range as.Groups {
		groups[i] = strconv.FormatUint(uint64(gid), 10)
	}
	return text + ":" + strings.Join(groups, ",")
}

func decode(text string) (*syscall.Credential, error) {
	if text == "-" {
		return nil, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 {
		return nil, strconv.ErrSyntax
	}
	uid, err1 := strconv.ParseUint(parts[0], 10, 32)
	gid, err2 := strconv.ParseUint(parts[1], 10, 32)
	if err1 != nil || err2 != nil {
		return nil, strconv.ErrSyntax
	}
	as := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: len(parts) == 2}
	if as.NoSetGroups || parts[2] == "" {
		return as, nil
	}
	for _, g := range strings.Split(parts[2], ",") {
		gid, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return nil, strconv.ErrSyntax
		}
		as.Groups = append(as.Groups, uint32(gid))
	}
	return as, nil
}

// Stage is the other end of startStaged. It returns only if this process was started as
// anything else.
func Stage(args []string) {
	if len(args) == 0 || args[0] != stageName {
		return
	}
	st, err := prepare(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "muontrap: not to be started by this name: %v\n", err)
		os.Exit(1)
	}
	st.run()
	os.Exit(1)
}

// stage is all that the last steps need, as the kernel wants it.
type stage struct {
	parent  uintptr
	report  uintptr   // a report of failure goes here; closed by success
	procs   []uintptr // cgroup.procs, open
	as      *syscall.Credential
	groups  []uint32
	paths   []*byte // candidates
	argv    []*byte
	scripts [][]*byte // the shell's argument vector for each candidate; nil if it is no script
	envp    []*byte
	rep     report
}

// prepare does everything that allocates or may start a thread.
func prepare(args []string) (*stage, error) {
	if len(args) < 6 {
		return nil, strconv.ErrSyntax
	}
	parent, err1 := strconv.Atoi(args[1])
	fds, err2 := numbers(args[2])
	as, err3 := decode(args[3])
	program, argv := args[4], args[5:]
	env, err4 := programEnv()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	report, join := fds[0], fds[1:]
	unix.CloseOnExec(report)
	st := &stage{parent: uintptr(parent), report: uintptr(report), as: as}
	if as != nil {
		st.groups = append(as.Groups, 0)[:len(as.Groups)] // never nil: it has an address
	}
	for i, dir := range join {
		fd, err := unix.Openat(dir, "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		unix.Close(dir)
		if err != nil {
			st.rep.index = uint16(i)
			st.fail(stageJoining, err.(syscall.Errno))
		}
		st.procs = append(st.procs, uintptr(fd))
	}
	var err error
	for _, path := range candidates(program, env) {
		if missing(path) {
			continue
		}
		p, err := syscall.BytePtrFromString(path)
		if err != nil {
			return nil, err
		}
		var script []*byte
		if !binary(path) {
			if script, err = syscall.SlicePtrFromStrings(shellArgs(path, argv)); err != nil {
				return nil, err
			}
		}
		st.paths, st.scripts = append(st.paths, p), append(st.scripts, script)
	}
	if st.argv, err = syscall.SlicePtrFromStrings(argv); err != nil {
		return nil, err
	}
	if st.envp, err = syscall.SlicePtrFromStrings(env); err != nil {
		return nil, err
	}
	// The runtime raised RLIMIT_NOFILE for itself. Only syscall.Exec knows what it
	// was, and restores it first, even when there is nothing to run.
	_ = syscall.Exec("", []string{""}, nil)
	return st, nil
}

// numbers reads descriptors, one at least.
func numbers(text string) ([]int, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, strconv.ErrSyntax
	}
	fds := make([]int, len(fields))
	for i, f := range fields {
		var err error
		if fds[i], err = strconv.Atoi(f); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// programEnv is the environment as the kernel keeps it: the standard library
// would drop what is there twice.
func programEnv() ([]string, error) {
	text, err := proc.ReadFile("/proc/self/environ")
	if err != nil {
		return nil, err
	}
	env := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	return env[len(stageEnv):], nil
}

var (
	self      = [...]byte{'0'}
	shellPath = [...]byte{'/', 'b', 'i', 'n', '/', 's', 'h', 0}
)

// run enters the cgroups, takes on the identity and runs the first candidate
// that can be run. It returns only if none can, with the failure reported.
func (st *stage) run() {
	for i, fd := range st.procs {
		if _, _, e := syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&self)), 1); e != 0 {
			st.rep.index = uint16(i)
			st.fail(stageJoining, e)
		}
	}
	if e := st.identify(); e != 0 {
		st.fail(stageIdentity, e)
	}
	err := syscall.ENOENT
	for i := range st.paths {
		err = st.exec(st.paths[i], st.argv)
		if err == syscall.ENOEXEC && st.scripts[i] != nil {
			err = st.exec(&shellPath[0], st.scripts[i])
		}
		if !tryNext(err) {
			break
		}
	}
	st.rep.index = uint16(min(1, len(st.paths)))
	st.fail(stageRunning, err)
}

// identify switches this thread, the one that becomes the program, and asks for
// the parent-death signal again, which the switch has cleared (prctl(2)).
func (st *stage) identify() syscall.Errno {
	if as := st.as; as != nil {
		if !as.NoSetGroups {
			if _, _, e := syscall.RawSyscall(sysSetgroups, uintptr(len(st.groups)), uintptr(unsafe.Pointer(unsafe.SliceData(st.groups))), 0); e != 0 {
				return e
			}
		}
		if _, _, e := syscall.RawSyscall(sysSetgid, uintptr(as.Gid), 0, 0); e != 0 {
			return e
		}
		if _, _, e := syscall.RawSyscall(sysSetuid, uintptr(as.Uid), 0, 0); e != 0 {
			return e
		}
	}
	if _, _, e := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0); e != 0 {
		return e
	}
	if parent, _, _ := syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); parent != st.parent {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 128+uintptr(unix.SIGKILL), 0, 0) // it is dead already
	}
	return 0
}

func (st *stage) exec(path *byte, argv []*byte) syscall.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&st.envp[0])))
	return e
}

// fail reports and ends the stage.
func (st *stage) fail(doing uint16, e syscall.Errno) {
	st.rep.doing, st.rep.errno = doing, uint32(e)
	syscall.RawSyscall(unix.SYS_WRITE, st.report, uintptr(unsafe.Pointer(&st.rep)), uintptr(reportSize))
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
}
