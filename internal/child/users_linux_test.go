// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entries are the lines of a database as the C library sees it.
func entries(t *testing.T, database string) (lines [][]string) {
	t.Helper()
	out, err := exec.Command("getent", database).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Split(strings.TrimSpace(line), ":"))
	}
	if len(lines) == 0 {
		t.Fatalf("getent knows no %s", database)
	}
	return lines
}

func TestEveryUserOfThisMachineIsFound(t *testing.T) {
	for _, e := range entries(t, "passwd") {
		u, err := LookupUser(e[0])
		if err != nil {
			t.Error(err)
			continue
		}
		if u.Name != e[0] || fmt.Sprint(u.UID) != e[2] || fmt.Sprint(u.GID) != e[3] {
			t.Errorf("%+v, getent says %q", u, e)
		}
	}
}

func TestEveryGroupOfThisMachineIsFound(t *testing.T) {
	for _, e := range entries(t, "group") {
		gid, err := LookupGroup(e[0])
		if err != nil || fmt.Sprint(gid) != e[2] {
			t.Errorf("%d, %v; getent says %q", gid, err, e)
		}
	}
}

func TestGroupsOfEveryUserAreTheCLibrarys(t *testing.T) {
	for _, e := range entries(t, "passwd") {
		u, err := LookupUser(e[0])
		if err != nil {
			t.Fatal(err)
		}
		gids, err := u.Groups()
		if err != nil {
			t.Error(err)
			continue
		}
		if gids[0] != u.GID {
			t.Errorf("%s: the primary group is not the first of %v", u.Name, gids)
		}
		out, err := exec.Command("id", "-G", u.Name).Output()
		if err != nil {
			t.Fatal(err)
		}
		want, got := strings.Fields(string(out)), strings.Fields(strings.Trim(fmt.Sprint(gids), "[]"))
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, id says %v", u.Name, got, want)
		}
	}
}

func TestUnknownNamesAreErrorsThatNameThem(t *testing.T) {
	for _, name := range []string{"no_such_name", "", "root:x", "--help", "-1", "0", "#", "root\n"} {
		if u, err := LookupUser(name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("user %q", name)) {
			t.Errorf("user %q: %+v, %v", name, u, err)
		}
		if gid, err := LookupGroup(name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("group %q", name)) {
			t.Errorf("group %q: %d, %v", name, gid, err)
		}
	}
}

// fakeGetent makes a script the only getent to be found. It is called as
// getent DATABASE -- KEY.
func fakeGetent(t *testing.T, script string) {
	t.Helper()
	path := executable(t, "getent", "#!/bin/sh\n"+script, 0o755)
	t.Setenv("PATH", filepath.Dir(path))
}

func TestDirectoryServicesAreAskedThroughGetent(t *testing.T) {
	fakeGetent(t, `
case "$*" in
"passwd -- far") echo "far:*:70001:70002:Far Away:/:/bin/sh" ;;
"group -- team") echo "team:*:70003:far" ;;
"initgroups -- far") echo "far    70002 70003 70004" ;;
*) exit 2 ;;
esac`)
	u, err := LookupUser("far")
	if want := (User{Name: "far", UID: 70001, GID: 70002}); u != want || err != nil {
		t.Fatalf("%+v, %v", u, err)
	}
	if gids, err := u.Groups(); err != nil || !slices.Equal(gids, []uint32{70002, 70003, 70004}) {
		t.Errorf("groups %v, %v", gids, err)
	}
	if gid, err := LookupGroup("team"); gid != 70003 || err != nil {
		t.Errorf("group %d, %v", gid, err)
	}
	if _, err := LookupUser("farther"); err == nil {
		t.Error("farther is known")
	}
}

// Whatever getent answers, the result is an error, not another's identity.
func TestNonsenseFromGetentIsAnError(t *testing.T) {
	for _, script := range []string{
		"", "echo", "echo; echo", "echo nonsense", "echo other:*:1:1:::", "echo far:*:x:y:::", "echo far:*::::",
		"echo far:*:-1:-1:::", "echo far:*:4294967296:1:::", "printf far", "exit 1",
	} {
		fakeGetent(t, script)
		if u, err := LookupUser("far"); err == nil {
			t.Errorf("%s: user %+v", script, u)
		}
		if gid, err := LookupGroup("far"); err == nil {
			t.Errorf("%s: group %d", script, gid)
		}
		if gids, err := (User{Name: "far", UID: 1, GID: 7}).Groups(); len(gids) > 1 {
			t.Errorf("%s: groups %v, %v", script, gids, err)
		}
	}
}

func TestMissingGetentIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := LookupUser("far"); err == nil || !strings.Contains(err.Error(), "getent") {
		t.Errorf("%v", err)
	}
	if u, err := LookupUser("root"); err != nil || u.UID != 0 {
		t.Errorf("root: %+v, %v", u, err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Fatal(err)
	}
}
