// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// Group is one cgroup path, in as many hierarchies as needed. The zero Group is
// in none: it is always empty, and there is nothing to be done about it.
type Group struct {
	names []string // the path's parts
	dirs  []*dir
	tight *dir // whose memory limit lacks a page until the program runs
	notes []string
}

// dir is the group's directory in one hierarchy. It stays open, and locked, as
// long as muontrap lives.
type dir struct {
	hierarchy
	path        string   // absolute
	inside      string   // the same in the words of /proc/PID/cgroup
	fd          int      // the directory
	events      int      // v2: its cgroup.events
	controllers []string // those asked for; none in a companion
}

// Create makes the group and limits it.
func Create(path string, controllers []Controller) (*Group, error) {
	hs, err := hierarchies()
	if err != nil {
		return nil, err
	}
	g := &Group{names: strings.Split(path, "/")}
	if err := g.create(hs, controllers); err != nil {
		_ = g.Remove()
		return nil, err
	}
	return g, nil
}

func (g *Group) create(hs []hierarchy, controllers []Controller) error {
	if len(controllers) > 0 { // else one will do
		hs = slices.DeleteFunc(hs, hidden)
	}
	for _, c := range controllers {
		h, err := find(hs, c.Name)
		if err != nil {
			return err
		}
		if err := g.join(h, c.Name); err != nil {
			return err
		}
	}
	if err := g.companion(hs); err != nil {
		return err
	}
	if err := g.running(); err != nil {
		return err
	}
	// The surest first, for Kill.
	slices.SortStableFunc(g.dirs, func(a, b *dir) int { return b.sureness() - a.sureness() })
	for _, c := range controllers {
		d := g.carrying(c.Name)
		for _, s := range c.Settings {
			note, err := d.set(c.Name, s)
			if err != nil {
				return err
			}
			if note != "" {
				g.notes = append(g.notes, note)
			}
		}
		if c.Name == "memory" && len(c.Settings) > 0 {
			g.tighten(d)
		}
	}
	return nil
}

// hierarchies lists those that are mounted.
func hierarchies() ([]hierarchy, error) {
	table, err := proc.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return parseMountinfo(string(table)), nil
}

// hidden tells whether something else is mounted over a hierarchy.
func hidden(h hierarchy) bool {
	magic := int64(unix.CGROUP_SUPER_MAGIC)
	if h.v2 {
		magic = unix.CGROUP2_SUPER_MAGIC
	}
	var st unix.Statfs_t
	return unix.Statfs(h.dir, &st) != nil || int64(st.Type) != magic
}

// find tells where a controller lives: in v2 if that offers it, else in v1.
func find(hs []hierarchy, controller string) (hierarchy, error) {
	var known []string
	for _, v2 := range []bool{true, false} {
		for _, h := range hs {
			if h.v2 != v2 {
				continue
			}
			if v2 {
				offered, _ := proc.ReadFile(h.dir + "/cgroup.controllers")
				h.controllers = strings.Fields(string(offered))
			}
			if h.carries(controller) {
				return h, nil
			}
			known = append(known, h.controllers...)
		}
	}
	if len(known) == 0 {
		return hierarchy{}, fmt.Errorf("--controller %q: no cgroup controllers here (is a cgroup file system mounted?)", controller)
	}
	slices.Sort(known)
	hint := ""
	if other := renamed(controller); slices.Contains(known, other) {
		hint = fmt.Sprintf("; %s does its work here", other)
	}
	return hierarchy{}, fmt.Errorf("--controller %q: no such controller, there are: %s%s",
		controller, strings.Join(slices.Compact(known), " "), hint)
}

// companion adds the hierarchy that makes the group's end sure. It is optional,
// unless no controller was asked for.
func (g *Group) companion(hs []hierarchy) error {
	if slices.ContainsFunc(g.dirs, func(d *dir) bool { return d.v2 }) {
		return nil
	}
	wanted := len(g.dirs) == 0
	err := errors.New("--group: no cgroup file system that could contain a program is mounted")
	for _, fits := range []func(*hierarchy) bool{
		func(h *hierarchy) bool { return h.v2 },
		func(h *hierarchy) bool { return h.carries("freezer") },
	} {
		i := slices.IndexFunc(hs, func(h hierarchy) bool { return fits(&h) && !hidden(h) })
		if i < 0 || g.at(hs[i].dir) != nil {
			continue
		}
		err = g.join(hs[i], "")
		if err == nil && !wanted {
			err = g.mayEnter(hs[i].dir)
		}
		var taken *occupied
		if err == nil || errors.As(err, &taken) {
			return err
		}
	}
	if wanted {
		return err
	}
	return nil
}

// mayEnter lets go of a companion that the program could not enter: v2 has rules
// of its own for who may move whom.
func (g *Group) mayEnter(mount string) error {
	d := g.at(mount)
	if !d.v2 {
		return nil
	}
	err := unix.Faccessat(unix.AT_FDCWD, d.commonAncestor()+"/cgroup.procs", unix.W_OK, unix.AT_EACCESS)
	if err != nil {
		_ = d.remove()
		g.dirs = slices.DeleteFunc(g.dirs, func(x *dir) bool { return x == d })
	}
	return err
}

// join adds the group's directory in h for a controller ("" for none).
func (g *Group) join(h hierarchy, controller string) error {
	d := g.at(h.dir)
	if d == nil {
		below := "/" + strings.Join(g.names, "/")
		d = &dir{hierarchy: h, path: h.dir + below, inside: strings.TrimSuffix(h.root, "/") + below, fd: -1, events: -1}
		g.dirs = append(g.dirs, d)
	}
	if controller != "" {
		d.controllers = append(d.controllers, controller)
	}
	err := d.open(g.names)
	if err != nil && d.fd < 0 {
		g.dirs = slices.DeleteFunc(g.dirs, func(x *dir) bool { return x == d })
	}
	return err
}

// running refuses a frozen group: whoever starts a process there freezes with it.
func (g *Group) running() error {
	g.Thaw()
	for _, d := range g.dirs {
		state, stuck := "", "frozen 1"
		switch {
		case d.v2:
			state, _ = d.readEvents(d.fd)
		case d.carries("freezer"):
			state, _ = readAt(d.fd, "freezer.state")
			stuck = "FR" // FREEZING, FROZEN
		}
		if strings.Contains(state, stuck) {
			return fmt.Errorf("%s: frozen, by a directory above: thaw that first", d.path)
		}
	}
	return nil
}

// sureness ranks how well all in a directory can be killed.
func (d *dir) sureness() int {
	switch {
	case d.v2:
		return 2
	case d.carries("freezer"):
		return 1
	}
	return 0
}

func (g *Group) at(mount string) *dir {
	if i := slices.IndexFunc(g.dirs, func(d *dir) bool { return d.hierarchy.dir == mount }); i >= 0 {
		return g.dirs[i]
	}
	return nil
}

func (g *Group) carrying(controller string) *dir {
	i := slices.IndexFunc(g.dirs, func(d *dir) bool { return slices.Contains(d.controllers, controller) })
	return g.dirs[i]
}

var errVanished = errors.New("the directory is removed again and again")

// open walks down from the mount point, makes what is missing, enables the
// controllers on the way, and locks the last directory. It starts again when
// another muontrap removes a directory under its feet, and when it has itself
// removed what a dead one left.
func (d *dir) open(names []string) error {
	for range 100 {
		fd, made, err := d.walk(names)
		switch {
		case err == unix.ENOENT || err == unix.ENODEV:
			continue
		case err != nil:
			return err
		case d.fd >= 0: // open already: this was for one more controller
			unix.Close(fd)
			return nil
		}
		usable, err := d.claim(fd, made)
		if usable {
			d.fd = fd
			if d.v2 {
				d.events, _ = openBeneath(fd, "cgroup.events", unix.O_RDONLY)
			}
			return nil
		}
		unix.Close(fd)
		if err != nil {
			if made {
				d.removeFrom(d.path)
			}
			return err
		}
	}
	d.removeFrom(path.Dir(d.path))
	return fmt.Errorf("%s: %w", d.path, errVanished)
}

func (d *dir) walk(names []string) (fd int, made bool, err error) {
	at := d.hierarchy.dir
	fd, err = unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, false, fmt.Errorf("%s: %w", at, err)
	}
	for _, name := range names {
		next := -1
		if err = d.enable(fd, at); err == nil {
			next, made, err = d.step(fd, name, at+"/"+name)
		}
		unix.Close(fd)
		if err != nil {
			if err != unix.ENOENT && err != unix.ENODEV { // else somebody may just be making it
				d.removeFrom(at) // what was made on the way
			}
			return -1, false, err
		}
		fd, at = next, at+"/"+name
	}
	return fd, made, nil
}

// step opens the directory name in fd; if there is none, it makes and marks one.
func (d *dir) step(fd int, name, path string) (next int, made bool, err error) {
	err = unix.Mkdirat(fd, name, unix.S_ISVTX|0o755)
	made = err == nil
	next, openErr := openBeneath(fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if made && openErr != nil {
		_ = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	}
	switch {
	case openErr == unix.ENOENT && err != nil && err != unix.EEXIST:
		return -1, false, explainDir(err, "create", path)
	case openErr != nil:
		return -1, false, explainDir(openErr, "open", path)
	case made:
		d.inheritCpuset(fd, next)
	}
	return next, made, nil
}

// enable lets directories below fd have this group's controllers (v2). ENOENT
// means that the directory vanished.
func (d *dir) enable(fd int, path string) error {
	if !d.v2 {
		return nil
	}
	for _, c := range d.controllers {
		err := handDown(fd, path, c)
		switch {
		case err != nil && !same(fd, path):
			return unix.ENOENT
		case err != nil:
			return err
		}
	}
	return nil
}

func handDown(fd int, path, controller string) error {
	enabled, err := readAt(fd, "cgroup.subtree_control")
	if err != nil {
		return fmt.Errorf("%s/cgroup.subtree_control: %w", path, err)
	}
	if slices.Contains(strings.Fields(enabled), controller) {
		return nil
	}
	if err := writeAt(fd, "cgroup.subtree_control", "+"+controller); err != nil {
		return explainEnable(err, path, controller)
	}
	return nil
}

// inheritCpuset fills a new v1 cpuset, which starts empty and takes no process
// like that, with its parent's.
func (d *dir) inheritCpuset(parent, child int) {
	if d.v2 || !d.carries("cpuset") {
		return
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if v, err := readAt(parent, file); err == nil {
			_ = writeAt(child, file, strings.TrimSpace(v))
		}
	}
}

// occupied means that the group is somebody else's.
type occupied struct{ path, by string }

func (e *occupied) Error() string { return e.path + ": " + e.by + ": choose another --group" }

func (d *dir) heldBy(pid string) error {
	return &occupied{d.path, "in use by a muontrap with pid " + pid}
}

// claim locks the directory and makes sure that nobody lives there. It is
// neither usable nor an error when the directory is no more: then a dead
// muontrap's, with all its limits and charges, made room for a new one.
func (d *dir) claim(fd int, isNew bool) (usable bool, err error) {
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		return false, d.heldBy(owner(fd))
	case err != nil:
		return false, fmt.Errorf("%s: cannot lock it: %w", d.path, err)
	case !same(fd, d.path):
		return false, nil
	case isNew:
		mark(fd)
		return true, nil
	}
	pids := members(fd)
	switch {
	case slices.Contains(pids, os.Getpid()):
		return false, &occupied{d.path, "muontrap itself runs in this cgroup"}
	case owner(fd) == "" && len(pids) > 0:
		return false, &occupied{d.path, "muontrap did not start what runs there (" + proc.Describe(pids[0]) + ")"}
	case owner(fd) == "":
		mark(fd)
		return true, nil
	}
	if by := heldBelow(fd); by != "" {
		return false, d.heldBy(by)
	}
	for end := time.Now().Add(claimTime); d.populated(fd); proc.Pause(time.Millisecond) {
		if time.Now().After(end) {
			return false, fmt.Errorf("%s: left by a dead muontrap, and %s in it can't be killed", d.path, proc.Describe(pids[0]))
		}
		_ = d.kill(fd) // the deadline tells
	}
	if made(fd) && remove(fd, d.path) == nil {
		return false, nil
	}
	mark(fd)
	return true, nil
}

// heldBelow names the living muontrap that has a group below fd, "" if none does.
func heldBelow(fd int) (by string) {
	each(fd, func(sub int) {
		if sub != fd && unix.Flock(sub, unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK {
			by = owner(sub)
		}
	})
	return by
}

// claimTime bounds the wait for what a dead muontrap left to die.
const claimTime = 5 * time.Second

// Directories are made with the sticky bit, which means nothing there: so they are
// muontrap's from the first moment. Who uses one, made or found, has its pid in an
// extended attribute: under the first of these names, or under the second, which
// takes root, on kernels before 5.7 that have no "user." ones here.
var marks = [2]string{"user.muontrap", "trusted.muontrap"}

func mark(fd int) {
	for _, name := range marks {
		if unix.Fsetxattr(fd, name, []byte(strconv.Itoa(os.Getpid())), 0) == nil {
			return
		}
	}
}

func unmark(fd int) {
	for _, name := range marks {
		_ = unix.Fremovexattr(fd, name)
	}
}

// made tells whether muontrap made this directory.
func made(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_ISVTX != 0
}

// owner is the pid of the muontrap that uses this directory, or was the last to;
// "" if none did.
func owner(fd int) string {
	var pid [16]byte
	for _, name := range marks {
		if n, err := unix.Fgetxattr(fd, name, pid[:]); err == nil {
			return string(pid[:n])
		}
	}
	if made(fd) {
		return "unknown"
	}
	return ""
}

// openBeneath opens name in the directory fd, and nothing that is elsewhere.
func openBeneath(fd int, name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	f, err := unix.Openat2(fd, name, &how)
	if err == unix.ENOSYS || err == unix.EPERM { // before 5.6, or filtered
		f, err = unix.Openat(fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	}
	return f, err
}

// same tells whether fd is what the path leads to now.
func same(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

func readAt(dir int, file string) (string, error) {
	fd, err := openBeneath(dir, file, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	text, err := proc.ReadAll(fd)
	return string(text), err
}

func writeAt(dir int, file, value string) error {
	fd, err := openBeneath(dir, file, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return write(fd, value)
}

// write hands over a value in one write(2), which is what makes it one value.
func write(fd int, value string) error {
	if value == "" {
		value = "\n" // nothing at all would not even reach the file
	}
	for {
		n, err := unix.Write(fd, []byte(value))
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n != len(value):
			return syscall.EIO
		}
		return err
	}
}

// Notes are remarks on limits that the kernel took in its own way.
func (g *Group) Notes() []string { return g.notes }

// Dirs tells how the program gets into the group. It can be born into a v2
// directory, but for a cpuset: old kernels (5.10 does it) then forget the mask.
// Where it has to join others, a stage of muontrap's own runs before it, and must
// not be charged to a directory with limits: then it joins that too, and memory
// last, so that its other threads have no time to be charged there.
func (g *Group) Dirs() Dirs {
	var dirs Dirs
	var join []*dir
	for _, d := range g.dirs {
		alone := len(g.dirs) == 1 && !slices.Contains(d.controllers, "cpuset")
		if d.v2 && (alone || len(d.controllers) == 0) {
			dirs.Born = d.fd
		} else {
			join = append(join, d)
		}
	}
	slices.SortStableFunc(join, func(a, b *dir) int { return a.weight() - b.weight() })
	for _, d := range join {
		dirs.Join = append(dirs.Join, d.fd)
	}
	return dirs
}

func (d *dir) weight() int {
	if slices.Contains(d.controllers, "memory") {
		return 1
	}
	return 0
}
