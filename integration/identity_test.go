// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// identity is what /proc/PID/status tells of a process: real, effective, saved
// and file system ID each, and the supplementary groups in ascending order.
type identity struct{ uid, gid, groups string }

func newIdentity(uid, gid int, groups string) identity {
	four := func(id int) string {
		return strings.TrimSpace(strings.Repeat("\t"+strconv.Itoa(id), 4))
	}
	return identity{four(uid), four(gid), groups}
}

// wantIdentity checks who the program was, which has to be cat /proc/self/status.
func (h *host) wantIdentity(want identity) {
	h.t.Helper()
	f := procStatus(h.readAll())
	h.wantStatus(0)
	h.wantNoMessages()
	if got := (identity{f["Uid"], f["Gid"], f["Groups"]}); got != want {
		h.t.Fatalf("runs as %q, want %q", got, want)
	}
}

func showIdentity(options ...string) []string {
	return append(options, "--capture-output", "--", "cat", "/proc/self/status")
}

// startedAs runs muontrap itself with another identity.
func startedAs(uid, gid uint32, groups ...uint32) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	}
}

// withUsers lets muontrap see these users and groups instead of the machine's.
func withUsers(t *testing.T, change func(*exec.Cmd)) func(*exec.Cmd) {
	t.Helper()
	dir := openDir(t)
	passwd := writeFile(t, dir+"/passwd", 0o644, strings.Join([]string{
		"root:x:0:0:root:/root:/bin/sh",
		"",
		"# a comment",
		"short:x:4009",
		"alice:x:4001:4001:Alice,,,:/home/alice:/bin/sh",
		"bob:x:4002:4100::/home/bob:/bin/sh",
		"second-root:x:0:4001::/:/bin/sh",
		"of-root:x:4003:0::/:/bin/sh",
		"in-root:x:4004:4004::/:/bin/sh",
		"broken:x:many:4001::/:/bin/sh",
		"huge:x:4294967297:4001::/:/bin/sh",
		"last:x:4005:4005::/:/bin/sh", // without a newline
	}, "\n"))
	group := writeFile(t, dir+"/group", 0o644, strings.Join([]string{
		"root:x:0:in-root",
		"wheel:x:0:",
		"alice:x:4001:",
		"web:x:4100:alice,bob",
		"web-too:x:4100:alice",
		"not-hers:x:4103:malice,alice2",
		"short:x:4104",
		"db:x:4101:bob",
		"broken:x:many:alice",
		"ops:x:4102:bob,alice",
	}, "\n"))
	return func(c *exec.Cmd) {
		through(self, "@etc", passwd, group)(c)
		if change != nil {
			change(c)
		}
	}
}

func TestProgramRunsAs(t *testing.T) {
	users := withUsers(t, startedAs(0, 12, 7, 9))
	for _, c := range []struct {
		options []string
		want    identity
	}{
		{nil, newIdentity(0, 12, "7 9")},
		{[]string{"--uid", "4001"}, newIdentity(4001, 12, "7 9")},
		{[]string{"-u4001"}, newIdentity(4001, 12, "7 9")},
		{[]string{"--uid", "07641"}, newIdentity(4001, 12, "7 9")},
		{[]string{"--uid", "0xFA1"}, newIdentity(4001, 12, "7 9")},
		{[]string{"--uid", "4294967294"}, newIdentity(4294967294, 12, "7 9")},
		{[]string{"--uid", "alice"}, newIdentity(4001, 4001, "4001 4100 4102")},
		{[]string{"--uid", "bob"}, newIdentity(4002, 4100, "4100 4101 4102")},
		{[]string{"--uid", "last"}, newIdentity(4005, 4005, "4005")},
		{[]string{"--uid", "alice", "--gid", "db"}, newIdentity(4001, 4101, "4001 4100 4102")},
		{[]string{"--gid", "db", "--uid", "alice"}, newIdentity(4001, 4101, "4001 4100 4102")},
		{[]string{"--uid", "alice", "--groups", ""}, newIdentity(4001, 4001, "")},
		{[]string{"--uid", "alice", "--groups", "db"}, newIdentity(4001, 4001, "4101")},
		{[]string{"--uid", "alice", "-a5", "-G6"}, newIdentity(4001, 5, "6")},
		{[]string{"--uid", "of-root", "--gid", "db", "--groups", "web"}, newIdentity(4003, 4101, "4100")},
		{[]string{"--uid", "in-root", "--groups", "web"}, newIdentity(4004, 4004, "4100")},
		{[]string{"--gid", "4100"}, newIdentity(0, 4100, "7 9")},
		{[]string{"--gid", "web"}, newIdentity(0, 4100, "7 9")},
		{[]string{"--gid", "010"}, newIdentity(0, 8, "7 9")},
		{[]string{"--groups", "4101"}, newIdentity(0, 12, "4101")},
		{[]string{"--groups", "web,5,db,0x10"}, newIdentity(0, 12, "5 16 4100 4101")},
		{[]string{"--groups", "9,7"}, newIdentity(0, 12, "7 9")},
		{[]string{"--groups", "9"}, newIdentity(0, 12, "9")},
		{[]string{"--groups="}, newIdentity(0, 12, "")},
		{[]string{"--uid", "4001", "--gid", "4001", "--groups", "ops,web"}, newIdentity(4001, 4001, "4100 4102")},
		{[]string{"--uid", "1", "--uid", "4001"}, newIdentity(4001, 12, "7 9")},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			startWith(t, users, showIdentity(c.options...)...).wantIdentity(c.want)
		})
	}
}

func TestAsManyAs256Groups(t *testing.T) {
	var list []string
	for gid := 1001; gid <= 1256; gid++ {
		list = append(list, strconv.Itoa(gid))
	}
	h := startWith(t, startedAs(0, 12), showIdentity("--groups", strings.Join(list, ","))...)
	h.wantIdentity(newIdentity(0, 12, strings.Join(list, " ")))
}

func TestIdentityIsRefused(t *testing.T) {
	users := withUsers(t, nil)
	for _, c := range []struct {
		options []string
		words   []string
	}{
		{[]string{"--uid", "0"}, []string{"--uid", "root"}},
		{[]string{"--uid", "root"}, []string{"--uid", "root"}},
		{[]string{"--uid", "second-root"}, []string{"--uid", "root"}},
		{[]string{"--uid", "of-root"}, []string{"--uid", "root", "--gid"}},
		{[]string{"--uid", "of-root", "--gid", "db"}, []string{"--uid", "root", "--groups"}},
		{[]string{"--uid", "of-root", "--groups", "db"}, []string{"--uid", "root", "--gid"}},
		{[]string{"--uid", "in-root"}, []string{"--uid", "root", "--groups"}},
		{[]string{"--uid", "in-root", "--gid", "db"}, []string{"--uid", "root", "--groups"}},
		{[]string{"--uid", "absent"}, []string{"--uid", `no user "absent"`, "getent"}},
		{[]string{"--uid", "Alice"}, []string{`no user "Alice"`}},
		{[]string{"--uid", "short"}, []string{`no user "short"`}},
		{[]string{"--uid", "broken"}, []string{"broken entry"}},
		{[]string{"--uid", "huge"}, []string{"broken entry"}},
		{[]string{"--gid", "wheel"}, []string{"--gid", "root"}},
		{[]string{"--gid", "absent"}, []string{"--gid", `no group "absent"`, "getent"}},
		{[]string{"--gid", "broken"}, []string{"broken entry"}},
		{[]string{"--groups", "web,wheel"}, []string{"--groups", "wheel", "root"}},
		{[]string{"--groups", "web,absent"}, []string{"--groups", `no group "absent"`}},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			h := startWith(t, users, append(c.options, "--capture-output", "--", "echo", "started")...)
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(c.words...)
		})
	}
}

func TestEveryUserOfThisMachineHasTheGroupsThatIDTells(t *testing.T) {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(passwd)) {
		name, _, _ := strings.Cut(line, ":")
		uid, gid := idOf(t, "-u", name)[0], idOf(t, "-g", name)[0]
		groups := idOf(t, "-G", name)
		if uid == 0 || slices.Contains(groups, 0) {
			continue // refused
		}
		slices.Sort(groups)
		var list []string
		for _, g := range groups {
			list = append(list, strconv.Itoa(g))
		}
		t.Run(name, func(t *testing.T) {
			start(t, showIdentity("--uid", name)...).wantIdentity(newIdentity(uid, gid, strings.Join(list, " ")))
		})
	}
}

// idOf asks id(1) for numbers.
func idOf(t *testing.T, option, user string) (ids []int) {
	t.Helper()
	out, err := exec.Command("id", option, user).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		id, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestPathIsSearchedWithTheRightsOfTheUser(t *testing.T) {
	dir := openDir(t)
	writeFile(t, dir+"/private/tool", 0o755, says("private"))
	writeFile(t, dir+"/owner-only/tool", 0o700, says("owner-only"))
	writeFile(t, dir+"/public/tool", 0o755, says("public"))
	if err := os.Chmod(dir+"/private", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, output string
		status             int
	}{
		{"a reachable program comes after one that is not", "DIR/private:DIR/owner-only:DIR/public", "public\n", 0},
		{"none is reachable", "DIR/private", "", 126},
		{"none is executable", "DIR/owner-only", "", 126},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := strings.ReplaceAll(c.path, "DIR", dir)
			h := startWith(t, withPath("/", path), "--uid", "nobody", "--capture-output", "tool")
			h.wantOutput(c.output)
			h.wantStatus(c.status)
			if c.status != 0 {
				h.wantOneMessage(`"tool"`, "permission denied")
			}
		})
	}
}

func TestScriptWithoutInterpreterLineRunsAsTheUser(t *testing.T) {
	script := writeFile(t, openDir(t)+"/script", 0o755, "id -u")
	h := start(t, "--uid", "nobody", "--capture-output", script)
	h.wantOutput(strconv.Itoa(idOf(t, "-u", "nobody")[0]) + "\n")
	h.wantStatus(0)
}

// withGetent puts a getent of this body first in PATH.
func withGetent(t *testing.T, body string) func(*exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir+"/getent", 0o755, "#!/bin/sh\n"+body)
	return withPath("/", dir+":"+os.Getenv("PATH"))
}

// directory is a getent that knows more than /etc.
const directory = `
case "$*" in
"passwd -- ldap-alice") echo "ldap-alice:*:5001:5002:Alice:/home:/bin/sh";;
"passwd -- ldap-root") echo "ldap-root:*:0:5002:::";;
"initgroups -- ldap-alice") echo "ldap-alice            5002 5100 5101";;
"group -- ldap-web") echo "ldap-web:*:5100:ldap-alice";;
"group -- ldap-wheel") echo "ldap-wheel:*:0:";;
*) exit 2;;
esac
`

func TestGetentIsAskedForWhoIsNotInEtc(t *testing.T) {
	asked := withGetent(t, directory)
	for _, c := range []struct {
		options []string
		want    identity
	}{
		{[]string{"--uid", "ldap-alice"}, newIdentity(5001, 5002, "5002 5100 5101")},
		{[]string{"--uid", "ldap-alice", "--groups", "ldap-web"}, newIdentity(5001, 5002, "5100")},
		{[]string{"--uid", "ldap-alice", "--gid", "ldap-web", "--groups="}, newIdentity(5001, 5100, "")},
		{[]string{"--uid", "5001", "--gid", "ldap-web", "--groups", "5,ldap-web"}, newIdentity(5001, 5100, "5 5100")},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			startWith(t, asked, showIdentity(c.options...)...).wantIdentity(c.want)
		})
	}
}

func TestGetentIsNotAskedForWhoIsInEtc(t *testing.T) {
	h := startWith(t, withGetent(t, "echo asked >&2; exit 2"), "--uid", "nobody", "--", "true")
	h.wantStatus(0)
	h.wantNoMessages()
}

func TestGetentThatDoesNotHelp(t *testing.T) {
	for _, c := range []struct{ name, body, word string }{
		{"knows nobody", directory, "nor does getent"},
		{"says nothing", "exit 0", "nor does getent"},
		{"says an empty line", "echo", "no user"},
		{"speaks of another", "echo other:x:5001:5001:::", "no user"},
		{"says too little", `echo "$3:x:5001"`, "no user"},
		{"says no number", `echo "$3:x:many:5001:::"`, "broken entry"},
		{"stops in mid-line", `printf "$3:x:5001:5001:::"`, "nor does getent"},
		{"knows no groups", `[ $1 = passwd ] && echo "$3:x:5001:5001:::"`, "getent"},
		{"says an empty line for groups", `[ $1 = passwd ] && echo "$3:x:5001:5001:::" || echo`, "getent"},
		{"speaks of another's groups", `[ $1 = passwd ] && echo "$3:x:5001:5001:::" || echo other 5100`, "getent"},
		{"puts the user into root's group", `[ $1 = passwd ] && echo "$3:x:5001:5001:::" || echo $3 5001 0`, "root"},
		{"crashes", "kill -SEGV $$", "nor does getent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := startWith(t, withGetent(t, c.body), "--uid", "nobody-knows", "--capture-output", "--", "echo", "started")
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage("--uid", "nobody-knows", c.word)
		})
	}
}

func TestGetentMayNotGiveRoot(t *testing.T) {
	asked := withGetent(t, directory)
	for _, options := range [][]string{{"--uid", "ldap-root"}, {"--gid", "ldap-wheel"}, {"--groups", "5,ldap-wheel"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := startWith(t, asked, append(options, "true")...)
			h.wantStatus(1)
			h.wantOneMessage(options[0], "root")
		})
	}
}

func TestMachineWithoutGetent(t *testing.T) {
	h := startWith(t, withPath("/", t.TempDir()), "--uid", "nobody-knows", "/bin/true")
	h.wantStatus(1)
	h.wantOneMessage("no getent command")
}

func TestGetentThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	h := startWith(t, withGetent(t, "exec sleep 1000"), "--uid", "nobody-knows", "--", "true")
	h.wantStatus(1)
	h.wantOneMessage("--uid", "nobody-knows")
	if took := time.Since(begin); took < 9*time.Second {
		t.Errorf("a slow directory was given %v only", took)
	}
}

// startUnprivileged starts a copy of muontrap that everybody can reach, as
// nobody.
func startUnprivileged(t *testing.T, args ...string) (*host, uint32, uint32) {
	t.Helper()
	uid, gid := uint32(idOf(t, "-u", "nobody")[0]), uint32(idOf(t, "-g", "nobody")[0])
	binary, err := os.ReadFile(muontrap)
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, openDir(t)+"/muontrap", 0o755, string(binary))
	h := startWith(t, func(c *exec.Cmd) {
		c.Path, c.Dir = path, "/"
		startedAs(uid, gid, 7)(c)
	}, args...)
	return h, uid, gid
}

func TestUnprivilegedMuontrapCannotChangeIdentity(t *testing.T) {
	for _, options := range [][]string{
		{"--uid", "1"}, {"--uid", "daemon"}, {"--gid", "1"}, {"--groups", "1"}, {"--groups="},
	} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h, _, _ := startUnprivileged(t, append(options, "--capture-output", "--", "echo", "started")...)
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(`"echo"`, "operation not permitted")
		})
	}
}

func TestUnprivilegedMuontrapMayAskForWhatItIs(t *testing.T) {
	for _, options := range [][]string{
		nil, {"--uid", "UID"}, {"--gid", "GID"}, {"--uid", "UID", "--gid", "GID"}, {"--groups", "7"},
		{"--uid", "nobody", "--groups", "7"},
	} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			var own []string
			for _, o := range options {
				switch o {
				case "UID":
					o = strconv.Itoa(idOf(t, "-u", "nobody")[0])
				case "GID":
					o = strconv.Itoa(idOf(t, "-g", "nobody")[0])
				}
				own = append(own, o)
			}
			h, uid, gid := startUnprivileged(t, showIdentity(own...)...)
			h.wantIdentity(newIdentity(int(uid), int(gid), "7"))
		})
	}
}
