// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// set writes one value to a file of the controller. The note says so where the
// kernel took the value in its own way.
func (d *dir) set(controller string, s Setting) (note string, err error) {
	file := d.path + "/" + s.File
	if !settable(controller, s.File) {
		return "", fmt.Errorf("--set %q: not a file of controller %s", s.File, controller)
	}
	if err := writeAt(d.fd, s.File, s.Value); err != nil {
		return "", d.explainSet(err, file, s)
	}
	if got, ok := d.differs(s); ok {
		note = fmt.Sprintf("%s: asked for %s, the kernel made it %s", file, s.Value, got)
	}
	return note, nil
}

// settable confines --set to the controller's files, without those that would
// undo the containment (a frozen group hangs whoever starts a process in it).
func settable(controller, file string) bool {
	switch file {
	case "cgroup.max.descendants", "cgroup.max.depth", "cgroup.pressure", "cgroup.clone_children":
		return true
	case "freezer.state":
		return false
	}
	return strings.HasPrefix(file, strings.TrimPrefix(controller, "name=")+".")
}

// differs compares what a file holds now with the plain number that was written.
// Sizes in memory are rounded to pages, which is no difference.
func (d *dir) differs(s Setting) (got string, yes bool) {
	want, err := strconv.ParseUint(s.Value, 10, 63)
	if err != nil {
		return "", false
	}
	text, err := readAt(d.fd, s.File)
	got = strings.TrimSpace(text)
	if err != nil {
		return "", false // some can only be written
	}
	have, err := strconv.ParseUint(got, 10, 64)
	if err != nil || have == want {
		return "", false
	}
	page := uint64(os.Getpagesize())
	return got, !strings.HasPrefix(s.File, "memory.") || max(have, want)-min(have, want) >= page
}

// batchPages is what the kernel charges to a processor ahead of need, if the limit
// leaves room for it (MEMCG_CHARGE_BATCH, since Linux 6.1). A limit of just that is
// used up by the first processor, and a program that its execve(2) moves to another
// dies of it.
const batchPages = 64

// tighten takes a page off such a limit, so that each page is charged by itself.
func (g *Group) tighten(d *dir) {
	if d.value(d.memoryLimit()) == pages(batchPages) && writeAt(d.fd, d.memoryLimit(), pages(batchPages-1)) == nil {
		g.tight = d
	}
}

// Loosen gives the program all of its limit, now that it runs: what it has already
// used leaves no room for a batch.
func (g *Group) Loosen() error {
	if g.tight == nil {
		return nil
	}
	_, err := g.tight.set("memory", Setting{g.tight.memoryLimit(), pages(batchPages)})
	return err
}

func pages(n int) (bytes string) { return strconv.Itoa(n * os.Getpagesize()) }

func (d *dir) memoryLimit() (file string) {
	if d.v2 {
		return "memory.max"
	}
	return "memory.limit_in_bytes"
}

// These are no maps: a program that wants none of them would wait for their making.

// renamed is the controller that does the same work in the other generation.
func renamed(controller string) string {
	switch controller {
	case "blkio":
		return "io"
	case "io":
		return "blkio"
	case "cpuacct":
		return "cpu"
	}
	return ""
}

// inV2 is the file of v2 that does the work of one of v1's.
func inV2(file string) string {
	switch file {
	case "memory.limit_in_bytes":
		return "memory.max"
	case "memory.soft_limit_in_bytes":
		return "memory.high"
	case "memory.memsw.limit_in_bytes":
		return "memory.swap.max"
	case "cpu.shares":
		return "cpu.weight"
	case "cpu.cfs_quota_us", "cpu.cfs_period_us":
		return "cpu.max"
	case "blkio.weight":
		return "io.weight"
	case "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device":
		return "io.max"
	}
	return ""
}

// inV1 is the file of v1 that does the work of one of v2's.
func inV1(file string) string {
	switch file {
	case "memory.max":
		return "memory.limit_in_bytes"
	case "memory.high", "memory.low":
		return "memory.soft_limit_in_bytes"
	case "memory.swap.max":
		return "memory.memsw.limit_in_bytes"
	case "cpu.weight":
		return "cpu.shares"
	case "cpu.max":
		return "cpu.cfs_quota_us and cpu.cfs_period_us"
	case "io.weight":
		return "blkio.weight"
	case "io.max":
		return "blkio.throttle.*"
	}
	return ""
}

func generation(v2 bool) string {
	if v2 {
		return "cgroup v2"
	}
	return "cgroup v1"
}

// explainSet turns a refused limit into what is wrong and what to do about it.
func (d *dir) explainSet(err error, file string, s Setting) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT):
		hint = "this kernel has no such file"
		other := inV1(s.File)
		if d.v2 {
			other = inV2(s.File)
		}
		if other != "" {
			hint = fmt.Sprintf("this is %s, where the file is %s", generation(d.v2), other)
		}
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		hint = "the kernel refuses this value"
	case errors.Is(err, unix.EBUSY):
		hint = "in conflict with what the group already uses or allows"
	case errors.Is(err, unix.EOPNOTSUPP):
		hint = "not in a threaded cgroup"
	case errors.Is(err, unix.ENODEV):
		hint = "no such device"
	default:
		hint = permissionHint(err)
	}
	return explained(fmt.Sprintf("cannot set %s to %q", file, s.Value), err, hint)
}

// explainEnable says why a v2 directory does not hand a controller down.
func explainEnable(err error, dir, controller string) error {
	file := dir + "/cgroup.subtree_control"
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL):
		hint = fmt.Sprintf("the directory above does not hand it down: echo +%s > %s/../cgroup.subtree_control", controller, dir)
	case errors.Is(err, unix.EBUSY):
		hint = "processes live in this directory, and one with processes can't hand controllers down: move them into a sub-group, or choose a --group elsewhere"
	case errors.Is(err, unix.EOPNOTSUPP):
		hint = "the directory is threaded: choose a --group elsewhere"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		hint = fmt.Sprintf("as root: echo +%s > %s", controller, file)
	default:
		hint = permissionHint(err)
	}
	return explained(fmt.Sprintf("cannot enable controller %s in %s", controller, file), err, hint)
}

// explainDir says why a directory can't be used; ENOENT and ENODEV, which mean
// that it vanished, stay as they are.
func explainDir(err error, doing, path string) error {
	hint := ""
	switch {
	case err == unix.ENOENT, err == unix.ENODEV:
		return err
	case err == unix.EAGAIN:
		hint = "a directory above allows no more: see its cgroup.max.descendants and cgroup.max.depth"
	case err == unix.ENOSPC:
		hint = "the kernel allows no more cgroups"
	default:
		hint = permissionHint(err)
	}
	return explained(fmt.Sprintf("cannot %s %s", doing, path), err, hint)
}

func permissionHint(err error) string {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "not delegated to this user: let root make a directory above and chown it, or start muontrap as root"
	case errors.Is(err, unix.EROFS):
		return "cgroups are mounted read-only here: in a container, ask for a writable mount"
	}
	return ""
}

func explained(what string, err error, hint string) error {
	if hint == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w (%s)", what, err, hint)
}

// Explain adds the likely cause to an error from entering the group.
func (g *Group) Explain(err error) error {
	if len(g.dirs) == 0 {
		return err
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w (its cgroup.subtree_control hands controllers down, so no process can be in it)", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w (a directory above is threaded: choose a --group elsewhere)", err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (its cpuset.cpus or cpuset.mems is empty: --set them)", err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (this user must be allowed to write %s/cgroup.procs, which is above both muontrap and the group)",
			err, g.dirs[0].commonAncestor())
	}
	return err
}

// commonAncestor is the directory whose cgroup.procs guards moves on v2: above
// where muontrap is and where the program is to go.
func (d *dir) commonAncestor() string {
	own := strings.Split(d.pathOf("self"), "/")
	there := strings.Split(d.inside, "/")
	n := 0
	for n < min(len(own), len(there)) && own[n] == there[n] {
		n++
	}
	common := strings.Join(there[:n], "/")
	return d.hierarchy.dir + strings.TrimPrefix(common, strings.TrimSuffix(d.root, "/"))
}
