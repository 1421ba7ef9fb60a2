// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// User is one entry of the user database.
type User struct {
	Name     string
	UID, GID uint32
}

// LookupUser finds a user by name: in /etc/passwd, else by asking getent(1),
// which knows what a static binary can't see (LDAP, sssd, systemd).
func LookupUser(name string) (User, error) {
	f, err := lookup("passwd", name, 4)
	if err != nil {
		return User{}, err
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return User{}, fmt.Errorf("broken entry of user %q", name)
	}
	return User{Name: name, UID: uint32(uid), GID: uint32(gid)}, nil
}

// LookupGroup finds a group's ID by name, in /etc/group or through getent(1).
func LookupGroup(name string) (uint32, error) {
	f, err := lookup("group", name, 3)
	if err != nil {
		return 0, err
	}
	gid, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("broken entry of group %q", name)
	}
	return uint32(gid), nil
}

// Groups lists all groups of this user, the primary one first: from /etc/group
// for a user of /etc/passwd, else from getent(1).
func (u User) Groups() ([]uint32, error) {
	gids := []uint32{u.GID}
	add := func(field string) {
		if gid, err := strconv.ParseUint(field, 10, 32); err == nil && !slices.Contains(gids, uint32(gid)) {
			gids = append(gids, uint32(gid))
		}
	}
	if find("/etc/passwd", u.Name, 4) == nil {
		out, err := getent("initgroups", u.Name)
		if err != nil {
			return nil, err
		}
		list, found := strings.CutPrefix(out+" ", u.Name+" ")
		if !found {
			return nil, fmt.Errorf("getent does not tell the groups of %q", u.Name)
		}
		for _, f := range strings.Fields(list) {
			add(f)
		}
		return gids, nil
	}
	group, err := proc.ReadFile("/etc/group")
	if err != nil && err != unix.ENOENT {
		return nil, err
	}
	for line := range strings.Lines(string(group)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 4 && slices.Contains(strings.Split(f[3], ","), u.Name) {
			add(f[2])
		}
	}
	return gids, nil
}

// lookup returns the colon-separated fields, n at least, of an entry.
func lookup(database, name string, n int) ([]string, error) {
	if f := find("/etc/"+database, name, n); f != nil {
		return f, nil
	}
	kind := map[string]string{"passwd": "user", "group": "group"}[database]
	out, err := getent(database, name)
	if err != nil {
		return nil, fmt.Errorf("no %s %q in /etc/%s (%w)", kind, name, database, err)
	}
	if f := strings.Split(strings.TrimSpace(out), ":"); len(f) >= n && f[0] == name {
		return f, nil
	}
	return nil, fmt.Errorf("no %s %q", kind, name)
}

func find(file, name string, n int) []string {
	data, err := proc.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(data) {
		f := strings.Split(string(bytes.TrimSpace(line)), ":")
		if len(f) >= n && f[0] == name {
			return f
		}
	}
	return nil
}

// getentTime bounds a directory service that does not answer.
const getentTime = 10 * time.Second

// getent runs getent(1) and returns the first line that it prints.
func getent(database, key string) (string, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(null)
	r, w, err := closeOnExecPipe()
	if err != nil {
		return "", err
	}
	defer unix.Close(r)
	p, err := Start(&Spec{
		Program: "getent", Args: []string{"getent", database, "--", key},
		Env: syscall.Environ(), Files: [3]int{null, w, null},
	})
	unix.Close(w)
	if err != nil {
		return "", errors.New("and no getent command to ask")
	}
	out := readUntil(r, time.Now().Add(getentTime))
	_ = p.Signal(unix.SIGKILL) // it has said all, or had its time
	p.reap()
	line, _, found := strings.Cut(string(out), "\n")
	if !found {
		return "", errors.New("nor does getent know it")
	}
	return line, nil
}

// readUntil reads to the end of fd, or as far as it came by then.
func readUntil(fd int, deadline time.Time) []byte {
	var out []byte
	buf := make([]byte, 4096)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return out
		}
		if n, err = unix.Read(fd, buf); n <= 0 && err != unix.EINTR {
			return out
		}
		out = append(out, buf[:max(n, 0)]...)
	}
}
