// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// releaseIn copies the sources to a directory of this name and makes a release for
// some systems there.
func releaseIn(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = copySources(t, name, "docs", "LICENSES")
	cmd := exec.Command(filepath.Join(dir, "scripts/release"), "linux/amd64", "linux/arm64", "linux/riscv64")
	cmd.Env = append(os.Environ(), "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1700000000")
	run(t, cmd)
	return filepath.Join(dir, "dist/release")
}

func TestRelease(t *testing.T) {
	dir := releaseIn(t, "a")
	t.Run("is reproducible", func(t *testing.T) { sameFiles(t, dir, releaseIn(t, "another")) })
	t.Run("has right checksums of all its files", func(t *testing.T) { checkSums(t, dir) })
	t.Run("tells what its binaries are made of", func(t *testing.T) { checkBillOfMaterials(t, dir) })
	t.Run("installs as a Debian package, runs, and is removed", func(t *testing.T) { tryPackage(t, dir) })
	for _, processor := range []struct{ name, emulator string }{
		{"arm64", "qemu-aarch64-static"},
		{"riscv64", "qemu-riscv64-static"},
	} {
		t.Run("runs on "+processor.name, func(t *testing.T) {
			emulated{processor.emulator, filepath.Join(dir, "muontrap-linux-"+processor.name)}.try(t)
		})
	}
}

func sameFiles(t *testing.T, dir, other string) {
	names := fileNames(t, dir)
	if others := fileNames(t, other); !slices.Equal(names, others) {
		t.Fatalf("the files differ:\n%q\n%q", names, others)
	}
	for _, name := range names {
		if !bytes.Equal(readAllOf(t, filepath.Join(dir, name)), readAllOf(t, filepath.Join(other, name))) {
			t.Errorf("made in two directories, %s differs", name)
		}
	}
}

func checkSums(t *testing.T, dir string) {
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	var summed []string
	for line := range strings.Lines(string(readAllOf(t, filepath.Join(dir, "SHA256SUMS")))) {
		summed = append(summed, strings.Fields(line)[1])
	}
	files := slices.DeleteFunc(fileNames(t, dir), func(name string) bool { return name == "SHA256SUMS" })
	if !slices.Equal(summed, files) {
		t.Errorf("sums of %q\nfiles are %q", summed, files)
	}
}

var (
	validID   = regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	goRelease = regexp.MustCompile(`: go([0-9.]+)`) // experiments may follow
)

// checkBillOfMaterials compares the document with what go finds in a binary.
func checkBillOfMaterials(t *testing.T, dir string) {
	var document struct {
		Packages []struct {
			SPDXID          string
			Name            string `json:"name"`
			VersionInfo     string `json:"versionInfo"`
			PackageFileName string `json:"packageFileName"`
		} `json:"packages"`
		Relationships []struct {
			Element string `json:"spdxElementId"`
			Type    string `json:"relationshipType"`
			Related string `json:"relatedSpdxElement"`
		} `json:"relationships"`
	}
	if err := json.Unmarshal(readAllOf(t, filepath.Join(dir, "muontrap.spdx.json")), &document); err != nil {
		t.Fatal(err)
	}
	names, files := map[string]string{}, map[string]string{}
	for _, p := range document.Packages {
		if !validID.MatchString(p.SPDXID) {
			t.Errorf("identifier %q", p.SPDXID)
		}
		names[p.SPDXID] = p.Name + " " + p.VersionInfo
		files[p.SPDXID] = p.PackageFileName
	}
	told := map[string][]string{}
	for _, r := range document.Relationships {
		if r.Type == "CONTAINS" {
			told[files[r.Element]] = append(told[files[r.Element]], names[r.Related])
		}
	}
	for _, file := range []string{"muontrap-linux-amd64", "muontrap-linux-arm64", "muontrap-linux-riscv64"} {
		out, err := exec.Command("go", "version", "-m", filepath.Join(dir, file)).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(out), "\n")
		found := []string{"stdlib " + goRelease.FindStringSubmatch(lines[0])[1]}
		for _, line := range lines {
			if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
				found = append(found, f[1]+" "+f[2])
			}
		}
		if len(found) < 2 || !slices.Equal(told[file], found) {
			t.Errorf("%s: told of %q, found %q", file, told[file], found)
		}
	}
}

// tryPackage uses dpkg's database below a directory, not this machine's.
func tryPackage(t *testing.T, dir string) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "var/lib/dpkg/status"), 0o644, "")
	for _, name := range []string{"info", "updates"} {
		if err := os.Mkdir(filepath.Join(root, "var/lib/dpkg", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return run(t, exec.Command("dpkg", append([]string{"--root=" + root, "--log=/dev/null"}, args...)...))
	}
	dpkg("--install", filepath.Join(dir, "muontrap_1.2.3_amd64.deb"))
	if got := dpkg("--status", "muontrap"); !strings.Contains(got, "\nStatus: install ok installed\n") || !strings.Contains(got, "\nVersion: 1.2.3\n") {
		t.Errorf("status of the package:\n%s", got)
	}
	binary := filepath.Join(root, "usr/bin/muontrap")
	if !bytes.Equal(readAllOf(t, binary), readAllOf(t, filepath.Join(dir, "muontrap-linux-amd64"))) {
		t.Error("the installed binary is another than the released one")
	}
	h := startWith(t, func(cmd *exec.Cmd) { cmd.Path = binary }, "--capture-output", "--", "sh", "-c", "echo hello; exit 3")
	if got := string(h.readAll()); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	h.wantStatus(3)
	page := filepath.Join(root, "usr/share/man/man1/muontrap.1.gz")
	if out, err := exec.Command("mandoc", "-T", "lint", "-W", "warning", page).CombinedOutput(); err != nil {
		t.Errorf("manual page: %v: %s", err, out)
	}

	dpkg("--remove", "muontrap")
	if left := fileNames(t, filepath.Join(root, "usr")); len(left) > 0 {
		t.Errorf("left when it is removed: %q", left)
	}
}

// emulated is a muontrap for another processor. The emulator knows neither child
// subreapers nor clone3(2), and starts its own binary where a program starts itself.
type emulated struct{ emulator, binary string }

func (e emulated) start(t *testing.T, args ...string) *host {
	t.Helper()
	path, err := exec.LookPath(e.emulator)
	if err != nil {
		t.Fatalf("%v: run scripts/install-test-deps", err)
	}
	return startWith(t, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = path, append([]string{e.emulator, e.binary}, args...)
	}, args...)
}

func (e emulated) try(t *testing.T) {
	alone := []string{"--kill-mode=process", "--capture-output", "--stdio-window=4096"}
	t.Run("every byte arrives", func(t *testing.T) {
		const n = 300_007
		h := e.start(t, append(alone, "--", self, "@bytes", strconv.Itoa(n))...)
		if !bytes.Equal(h.readAll(), testBytes(n)) {
			t.Error("the bytes differ")
		}
		h.wantStatus(0)
		h.wantNoMessages()
	})
	t.Run("status of a program that a signal killed", func(t *testing.T) {
		h := e.start(t, append(alone, "--", "sh", "-c", "printf half; kill -SEGV $$")...)
		if got := string(h.readAll()); got != "half" {
			t.Errorf("got %q", got)
		}
		h.wantStatus(128 + 11)
	})
	t.Run("the host's end stops the program", func(t *testing.T) {
		h := e.start(t, append(alone, "--", "sh", "-c", "trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.01; done")...)
		h.read(6)
		h.closeStdin()
		if got := string(h.readRest()); got != "bye\n" {
			t.Errorf("last words %q", got)
		}
		h.wantStatus(1)
	})
	t.Run("a deaf program is killed", func(t *testing.T) {
		h := e.start(t, append(alone, "-k", "100", "--", "sh", "-c", "trap '' TERM; echo hello; exec sleep 1000")...)
		h.read(6)
		h.kill(syscall.SIGTERM)
		h.ack(6)
		h.wantStatus(128 + 15)
	})
	t.Run("the program goes with a muontrap that is killed", func(t *testing.T) {
		h := e.start(t, append(alone, "--", "sh", "-c", "echo hello; exec sleep 1000")...)
		h.read(6)
		h.kill(syscall.SIGKILL)
		eventually(t, "all to be gone", func() bool { return len(tagged(h.tag)) == 0 })
	})
	t.Run("another user", func(t *testing.T) {
		h := e.start(t, append(alone, "--uid", "65534", "--gid", "65533", "--groups", "65532", "--", "sh", "-c", "id -u; id -G")...)
		if got := string(h.readAll()); got != "65534\n65533 65532\n" {
			t.Errorf("got %q", got)
		}
		h.wantStatus(0)
	})
	t.Run("without subreapers it says so and goes on", func(t *testing.T) {
		h := e.start(t, "--capture-output", "--", "echo", "hello")
		if got := string(h.readAll()); got != "hello\n" {
			t.Errorf("got %q", got)
		}
		h.wantStatus(0)
		h.wantOneMessage("subreaper", "processes can escape")
	})
}

// fileNames lists the files below a directory, in order.
func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if path == dir && os.IsNotExist(err) {
			return filepath.SkipAll
		}
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readAllOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
