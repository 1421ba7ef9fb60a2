// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
	"golang.org/x/sys/unix"
)

// Hostile trees of processes, each from a seed, under every containment and
// with every ending, at random moments. Whatever happens, nothing is left.
//
//	MUONTRAP_CHAOS_SEED=N   replay this one tree
//	MUONTRAP_CHAOS_TREES=M  try M trees, with the seeds from N on
const (
	chaosTrees   = 60              // unless told otherwise
	chaosWorkers = 4               // trees at a time
	chaosBound   = 5 * time.Second // from the deadline to the end of everything
	chaosPause   = 5 * time.Millisecond
)

func TestChaosLeavesNothing(t *testing.T) {
	first, count := chaosSeeds(t)
	t.Run("warm up", func(t *testing.T) { start(t, "true").wantStatus(0) })
	files, kids := descriptors(os.Getpid()), children(os.Getpid())

	combinations := chaosCombinations()
	summary := chaosSummary{}
	seeds := make(chan int)
	var workers sync.WaitGroup
	for range chaosWorkers {
		workers.Go(func() {
			for seed := range seeds {
				tree := newChaosTree(seed, combinations)
				t.Run(strconv.Itoa(seed), func(t *testing.T) {
					took := tree.run(t)
					summary.add(tree, took, t.Failed())
				})
			}
		})
	}
	fmt.Printf("chaos: %d trees from seed %d on\n", count, first)
	for seed := range count {
		seeds <- first + seed
		if n := seed + 1; n%100 == 0 {
			fmt.Printf("chaos: %d trees\n", n)
		}
	}
	close(seeds)
	workers.Wait()
	summary.print()

	eventually(t, "the descriptors of all trees to be closed", func() bool {
		return len(descriptors(os.Getpid())) <= len(files)
	})
	eventually(t, "the children of this process to be gone", func() bool {
		return len(children(os.Getpid())) <= len(kids)
	})
}

func chaosSeeds(t *testing.T) (first, count int) {
	t.Helper()
	first, count = int(time.Now().UnixMilli()), chaosTrees
	for _, v := range []struct {
		name  string
		value *int
	}{{"MUONTRAP_CHAOS_SEED", &first}, {"MUONTRAP_CHAOS_TREES", &count}} {
		text := os.Getenv(v.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		*v.value = n
		if v.value == &first {
			count = 1
		}
	}
	return first, count
}

// chaosContainment is what has to hold the tree together.
type chaosContainment struct {
	name           string
	guarded, group bool
	all            bool // what is left by a program that ends is stopped
	options        []string
}

// chaosEnding is what happens to a run.
type chaosEnding struct {
	name   string
	strike func(*chaosRun)
	guard  bool // makes sense only with one
	exits  bool // the program itself ends, or may
}

var chaosEndings = []chaosEnding{
	{name: "end of stdin", strike: (*chaosRun).endStdin},
	{name: "signal", strike: (*chaosRun).signal},
	{name: "over-ack", strike: (*chaosRun).overAck},
	{name: "host killed", strike: (*chaosRun).killFirst},
	{name: "guard killed", strike: (*chaosRun).killFirst, guard: true},
	{name: "worker killed", strike: (*chaosRun).killWorker, guard: true},
	{name: "members killed", strike: (*chaosRun).killMembers, exits: true},
	{name: "program killed", strike: (*chaosRun).killProgram, exits: true},
	{name: "program exits", strike: (*chaosRun).awaitExit, exits: true},
}

func chaosContainments() []chaosContainment {
	all := []chaosContainment{
		{name: "tree"},
		{name: "all", all: true, options: []string{"--kill-mode=all"}},
		{name: "guard", guarded: true, options: []string{"--guard"}},
		{name: "guard all", guarded: true, all: true, options: []string{"--guard", "--kill-mode=all"}},
	}
	if !chaosCanLimit() {
		return all
	}
	return append(all,
		chaosContainment{name: "group", group: true, all: true, options: []string{"-c", "memory"}},
		chaosContainment{name: "group guard", group: true, guarded: true, all: true, options: []string{"--guard", "-c", "memory"}})
}

// chaosCanLimit tells whether this process may make cgroups that limit memory.
func chaosCanLimit() bool {
	probe := fmt.Sprintf("mt_chaos_%d_probe", os.Getpid())
	return slices.ContainsFunc(hierarchyRoots(), func(root string) bool {
		controllers, _ := os.ReadFile(root + "/cgroup.controllers")
		_, err := os.Stat(root + "/memory.limit_in_bytes")
		if err != nil && !slices.Contains(strings.Fields(string(controllers)), "memory") {
			return false
		}
		dir := filepath.Join(root, probe)
		err = os.Mkdir(dir, 0o755)
		_ = os.Remove(dir)
		return err == nil
	})
}

func chaosGlob(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	return files
}

// chaosCombination is one of all pairs that make sense.
type chaosCombination struct {
	chaosContainment
	ending chaosEnding
}

func (c chaosCombination) String() string { return fmt.Sprintf("%-14s  %s", c.ending.name, c.name) }

// nothingLeft tells whether no process may outlive muontrap: what a program
// leaves when it ends by itself is left alone, unless asked for.
func (c chaosCombination) nothingLeft() bool { return c.all || !c.ending.exits }

func chaosCombinations() (all []chaosCombination) {
	for _, c := range chaosContainments() {
		for _, e := range chaosEndings {
			if c.guarded || !e.guard {
				all = append(all, chaosCombination{c, e})
			}
		}
	}
	return all
}

// chaosTree is all that follows from a seed.
type chaosTree struct {
	chaosCombination
	seed    int
	random  *rand.Rand
	delay   time.Duration // from SIGTERM to SIGKILL
	capture string        // an option, or none
	deaf    bool          // the host reads nothing
	moment  time.Duration // of the ending
	exit    int           // the program's own status, if that is the ending
	plan    []string
	size    int
}

// newChaosTree takes the combinations in turn, and everything else at random.
func newChaosTree(seed int, combinations []chaosCombination) *chaosTree {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	tree := &chaosTree{
		chaosCombination: combinations[seed%len(combinations)],
		seed:             seed,
		random:           r,
		delay:            time.Duration(r.IntN(4)) * 100 * time.Millisecond,
		capture:          []string{"", "--capture-output", "--capture-stderr-only"}[r.IntN(3)],
		moment:           time.Duration(r.IntN([]int{10, 100, 500}[r.IntN(3)])) * time.Millisecond,
		exit:             r.IntN(100),
	}
	tree.deaf = !tree.ending.exits && r.IntN(4) == 0
	g := &chaosPlanner{Rand: r, left: 2 + r.IntN(14), group: tree.group, root: os.Getuid() == 0}
	total := g.left
	tree.plan = g.process(1+r.IntN(4), true)
	if tree.ending.name == "program exits" {
		tree.plan = append(tree.plan, fmt.Sprintf("wait:%d", tree.moment.Milliseconds()), fmt.Sprintf("exit:%d", tree.exit))
	} else if g.one(6) {
		tree.plan = append(tree.plan, "stop")
	}
	tree.size = total - g.left
	return tree
}

// chaosPlanner makes plans for @chaos.
type chaosPlanner struct {
	*rand.Rand
	left  int // processes
	group bool
	root  bool // and may become somebody else
}

// one is true once in n times.
func (g *chaosPlanner) one(n int) bool { return g.IntN(n) == 0 }

func (g *chaosPlanner) pick(steps ...string) string { return steps[g.IntN(len(steps))] }

// process plans a process and its descendants. The program, the first of them,
// does not end by itself.
func (g *chaosPlanner) process(depth int, program bool) (plan []string) {
	g.left--
	add := func(steps ...string) { plan = append(plan, steps...) }
	if g.group && g.one(4) && g.root {
		add("subgroup")
	}
	if g.one(3) {
		add(g.pick("setsid", "setpgid"))
	}
	if g.one(2) {
		add(g.pick("ignore", "trap", fmt.Sprintf("slow:%d", g.IntN(200))))
	} else if g.one(6) {
		add("reborn", "(")
		add(g.pick("ignore", "setsid", "trap"), ")")
	}
	if g.one(6) {
		add("subreaper")
	}
	was := g.root
	if g.root && g.one(10) {
		add("nobody")
		g.root = false // nor are its descendants
	}
	if g.one(5) {
		add("chatter")
	} else if g.one(6) {
		add("close")
	}
	for g.left > 0 && (program || depth > 0 && !g.one(4)) {
		g.child(&plan, depth-1)
	}
	g.root = was
	if program {
		return plan
	}
	switch g.IntN(6) {
	case 0:
		add("stop")
	case 1:
		add(fmt.Sprintf("wait:%d", g.IntN(200)), fmt.Sprintf("exit:%d", g.IntN(3)))
	}
	return plan
}

// child plans one more child.
func (g *chaosPlanner) child(plan *[]string, depth int) {
	switch kind := g.IntN(16); {
	case kind < 6:
		*plan = append(append(append(*plan, "child", "("), g.process(depth, false)...), ")")
	case kind < 8:
		*plan = append(append(append(*plan, "child", "(", "fork"), g.process(depth, false)...), ")")
	case kind == 8:
		*plan = append(append(append(*plan, "child", "(", "exec", "exec"), g.process(depth, false)...), ")")
	case kind == 9:
		*plan = append(append(append(*plan, g.pick("trace", "hold"), "("), g.process(depth, false)...), ")")
	default:
		g.left--
		*plan = append(*plan, g.pick("sleep", "sulk", "loop", "orphan",
			fmt.Sprintf("storm:%d", g.IntN(20)), fmt.Sprintf("flee:%d", g.IntN(60))))
	}
}

// chaosRun is a tree that lives.
type chaosRun struct {
	*chaosTree
	t     *testing.T
	h     *host
	group string
	want  int  // muontrap's status; -1: nobody can see it
	left  bool // processes may be left
}

// run grows the tree, ends it, and looks for what is left. It returns the time
// from the ending to that.
func (tree *chaosTree) run(t *testing.T) time.Duration {
	r := &chaosRun{chaosTree: tree, t: t, left: !tree.nothingLeft()}
	t.Cleanup(r.explain)
	r.start()
	if tree.ending.name != "program exits" {
		time.Sleep(tree.moment)
		if tree.random.IntN(4) == 0 && tree.ending.name != "host killed" {
			r.wantNoZombies()
		}
	}
	begin := time.Now()
	tree.ending.strike(r)
	r.wantEnd()
	return time.Since(begin)
}

var chaosGroups atomic.Int64

func (r *chaosRun) start() {
	args := slices.Clone(r.options)
	r.group = fmt.Sprintf("mt_chaos_%d_%d", os.Getpid(), chaosGroups.Add(1))
	if r.chaosTree.group {
		args = append(args, "-g", r.group)
	}
	if r.capture != "" {
		args = append(args, r.capture)
	}
	args = append(args, "-k", strconv.FormatInt(r.delay.Milliseconds(), 10), "--", self, "@chaos")
	r.h = startWith(r.t, r.prepare, append(args, r.plan...)...)
	if r.ending.name == "signal" {
		r.h.armed()
	}
	if !r.deaf {
		go r.acknowledge()
	}
}

// prepare puts the host between this process and muontrap if it is to be killed.
func (r *chaosRun) prepare(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, chaosGroup+"="+r.group)
	// The kernel sends SIGHUP to process groups with stopped members and nobody
	// to look after them. It should not be the group of whoever runs the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.ending.name == "host killed" {
		through(self, "@host")(cmd)
	}
}

// acknowledge takes all output. Nobody minds when it can't any more.
func (r *chaosRun) acknowledge() {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.h.stdout.Read(buf)
		if err != nil {
			return
		}
		_, _ = r.h.stdin.Write(protocol.AppendAcks(nil, n))
	}
}

func (r *chaosRun) endStdin() {
	r.h.closeStdin()
	r.want = 1
}

func (r *chaosRun) signal() {
	sigs := terminating()
	sig := sigs[r.random.IntN(len(sigs))]
	r.h.kill(sig)
	r.want = 128 + int(sig)
}

func (r *chaosRun) overAck() {
	_, _ = r.h.stdin.Write(protocol.AppendAcks(nil, 1<<20))
	r.want = 1
}

// killFirst kills what was started first: the host, or else the guard.
func (r *chaosRun) killFirst() {
	r.h.kill(syscall.SIGKILL)
	r.want = -1
}

func (r *chaosRun) killWorker() {
	r.kill(r.worker())
	r.want = 128 + int(syscall.SIGKILL)
}

func (r *chaosRun) killProgram() {
	r.kill(r.program())
	r.want = 128 + int(syscall.SIGKILL)
}

// killMembers kills some, and ends what goes on after that.
func (r *chaosRun) killMembers() {
	program := r.program()
	for range 1 + r.random.IntN(5) {
		members := slices.DeleteFunc(tagged(r.h.tag), func(pid int) bool { return runs(pid, muontrap) })
		if len(members) == 0 {
			break
		}
		victim := members[r.random.IntN(len(members))]
		r.kill(victim)
		if victim == program {
			r.want = 128 + int(syscall.SIGKILL)
			return
		}
		time.Sleep(time.Duration(r.random.IntN(30)) * time.Millisecond)
	}
	r.left = false
	r.endStdin()
}

func (r *chaosRun) awaitExit() { r.want = r.exit }

// kill kills a process of the tree, if it still lives and its pid is its own.
func (r *chaosRun) kill(pid int) {
	r.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(fd)
		eventually(r.t, "execve to be done with the environment", func() bool {
			env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			return len(env) > 0 || !alive(pid)
		})
		if !hasTag(pid, r.h.tag) {
			return
		}
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	if err != nil && err != unix.ESRCH {
		r.t.Fatal(err)
	}
}

func hasTag(pid int, tag string) bool {
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return slices.Contains(strings.Split(string(env), "\x00"), tag)
}

// worker is the muontrap that runs the program.
func (r *chaosRun) worker() (pid int) {
	if !r.guarded {
		return r.h.cmd.Process.Pid
	}
	eventually(r.t, "the guard to start another muontrap", func() bool {
		kids := children(r.h.cmd.Process.Pid)
		if len(kids) > 0 {
			pid = kids[0]
		}
		return len(kids) > 0
	})
	return pid
}

func (r *chaosRun) program() (pid int) {
	worker := r.worker()
	eventually(r.t, "muontrap to run its program", func() bool {
		kids := children(worker)
		if len(kids) > 0 {
			pid = kids[0]
		}
		return len(kids) > 0 && runs(pid, self)
	})
	return pid
}

// wantNoZombies waits until muontrap has no dead child.
func (r *chaosRun) wantNoZombies() {
	r.t.Helper()
	for _, pid := range []int{r.h.cmd.Process.Pid, r.worker()} {
		eventually(r.t, "muontrap to reap its children", func() bool {
			return !slices.ContainsFunc(children(pid), func(kid int) bool { return state(kid) == "Z" })
		})
	}
}

// wantEnd checks everything that has to be true after the ending.
func (r *chaosRun) wantEnd() {
	r.t.Helper()
	limit := r.delay + chaosBound
	if r.ending.name == "program exits" {
		limit += r.moment
	}
	if r.deaf {
		limit += 2 * r.delay // it is given this time to take output, and to acknowledge it
	}
	// Time is counted in pauses, each tenth with a start of true(1): where these
	// take longer, muontrap may do so too.
	within := func(holds func() bool) bool {
		for i := range limit / chaosPause {
			if holds() {
				return true
			}
			time.Sleep(chaosPause)
			if i%10 == 9 {
				_ = exec.Command("true").Run()
			}
		}
		return false
	}
	if !within(r.ended) {
		r.t.Fatalf("muontrap did not end in %v; there are %s", limit, r.processes())
	}
	if r.want < 0 {
		within(func() bool { return len(tagged(r.h.tag)) == 0 })
	} else if got := shellStatus(r.h.cmd.ProcessState); got != r.want {
		r.t.Errorf("status %d, want %d", got, r.want)
	}
	if r.left {
		if !within(r.killAll) {
			r.t.Errorf("cannot kill what was left alone: %s", r.processes())
		}
	} else if len(tagged(r.h.tag)) > 0 {
		r.t.Errorf("left behind: %s", r.processes())
	}
	if dirs := r.cgroups(); len(dirs) > 0 {
		r.t.Errorf("left behind: %v", dirs)
	}
	for line := range strings.Lines(r.h.messages()) {
		if !chaosExpected(line) {
			r.t.Errorf("message %q", line)
		}
	}
}

func (r *chaosRun) ended() bool {
	select {
	case <-r.h.exited:
		return true
	default:
		return false
	}
}

// chaosExpected tells whether a line on stderr is part of the plan.
func chaosExpected(line string) bool {
	return strings.Trim(line, ".\n") == "" || // chatter
		line == "Killed\n" || line == "Terminated\n" || // so says a shell of its child
		strings.HasPrefix(line, "muontrap: protocol violation: ") ||
		line == "muontrap: the muontrap under guard was killed: stopping what it ran\n"
}

// shellStatus is a status as a shell counts.
func shellStatus(s *os.ProcessState) int {
	if ws := s.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// killAll kills all that it sees, and tells whether that was none: many times,
// for who flees can be overlooked.
func (r *chaosRun) killAll() bool {
	for range 5 {
		pids := tagged(r.h.tag)
		for _, pid := range pids {
			r.kill(pid)
		}
		if len(pids) > 0 {
			return false
		}
	}
	return true
}

// cgroups lists the tree's cgroup directories that exist.
func (r *chaosRun) cgroups() (dirs []string) {
	for _, mount := range hierarchyRoots() {
		dirs = append(dirs, chaosGlob(mount+"/"+r.group)...)
	}
	return dirs
}

// processes describes the tree's living processes.
func (r *chaosRun) processes() string {
	var b strings.Builder
	for _, pid := range tagged(r.h.tag) {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat := statFields(pid)
		fmt.Fprintf(&b, "\n\t%d %v %s", pid, stat, strings.ReplaceAll(string(args), "\x00", " "))
	}
	return b.String()
}

// explain tells how to get a failure once more, and tidies up after it.
func (r *chaosRun) explain() {
	if !r.t.Failed() {
		return
	}
	r.t.Logf("replay it with MUONTRAP_CHAOS_SEED=%d make chaos", r.seed)
	r.t.Logf("%s; after %v, -k %v %s, deaf: %v, want status %d", r.chaosCombination, r.moment, r.delay, r.capture, r.deaf, r.want)
	r.t.Logf("plan: %s", strings.Join(r.plan, " "))
	r.t.Logf("messages: %.4096s", r.h.messages())
	for _, dir := range r.cgroups() {
		removeCgroups(dir)
	}
}

// removeCgroups removes a cgroup and all below.
func removeCgroups(dir string) {
	for _, sub := range chaosGlob(dir + "/*/cgroup.procs") {
		removeCgroups(filepath.Dir(sub))
	}
	_ = os.Remove(dir)
}

// youngWorker waits until the guard has just started a second muontrap.
func (h *host) youngWorker() int {
	h.t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); { // no pause: a moment later it is old
		if kids := children(h.cmd.Process.Pid); len(kids) > 0 {
			return kids[0]
		}
	}
	h.t.Fatal("there is no second muontrap")
	return 0
}

func TestEarlySignalToTheGuardStopsEverything(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT} {
		for range 10 {
			h := start(t, "--guard", "--kill-mode=all", "--", "sh", "-c", "sleep 1000 & sleep 1000")
			h.youngWorker()
			h.kill(sig)
			h.wantStatus(128 + int(sig))
			if left := tagged(h.tag); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

func TestWorkerKilledWhileItMakesACgroupLeavesNone(t *testing.T) {
	for i := range 200 {
		group := fmt.Sprintf("mt_chaos_%d_%d", os.Getpid(), chaosGroups.Add(1))
		h := start(t, "--guard", "-c", "memory", "-g", group, "sleep", "1000")
		worker := h.youngWorker()
		time.Sleep(time.Duration(i) * 30 * time.Microsecond)
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.wantStatus(128 + 9)
		for _, root := range hierarchyRoots() {
			for _, dir := range chaosGlob(root + "/" + group) {
				t.Errorf("left behind: %s", dir)
				removeCgroups(dir)
			}
		}
	}
}

// chaosSummary counts what happened, by combination.
type chaosSummary struct {
	sync.Mutex
	lines map[string]*chaosCount
}

type chaosCount struct {
	trees, processes, failed int
	slowest                  time.Duration
}

func (s *chaosSummary) add(tree *chaosTree, took time.Duration, failed bool) {
	s.Lock()
	defer s.Unlock()
	if s.lines == nil {
		s.lines = map[string]*chaosCount{}
	}
	c := s.lines[tree.String()]
	if c == nil {
		c = new(chaosCount)
		s.lines[tree.String()] = c
	}
	c.trees++
	c.processes += tree.size
	c.slowest = max(c.slowest, took)
	if failed {
		c.failed++
	}
}

func (s *chaosSummary) print() {
	fmt.Println("chaos: ending and containment: trees, processes planned, slowest end, failures")
	for _, name := range slices.Sorted(maps.Keys(s.lines)) {
		c := s.lines[name]
		fmt.Printf("chaos: %-28s %4d %6d %7s %4d\n", name, c.trees, c.processes, c.slowest.Round(time.Millisecond), c.failed)
	}
}
