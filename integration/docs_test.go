// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestManualPageIsUpToDate(t *testing.T) {
	template, err := os.Open("../docs/muontrap.1.in")
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	cmd := exec.Command("go", "run", "../scripts/man", muontrap)
	cmd.Stdin, cmd.Stderr = template, os.Stderr
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/muontrap.1")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/muontrap.1 is not what its template and the options make: run make man")
	}
}

var (
	blockInMarkdown   = regexp.MustCompile("(?ms)^```.*?^```$")
	codeInMarkdown    = regexp.MustCompile("`[^`\n]*`")
	linkInMarkdown    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingInMarkdown = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInAnchors      = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinksLeadSomewhere follows the links within the project, to their anchors.
func TestLinksLeadSomewhere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "../*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		text := blockInMarkdown.ReplaceAllString(string(readAllOf(t, page)), "")
		text = codeInMarkdown.ReplaceAllString(text, "code")
		for _, m := range linkInMarkdown.FindAllStringSubmatch(text, -1) {
			link, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if link.IsAbs() {
				continue
			}
			links++
			target := page
			if link.Path != "" {
				target = filepath.Join(filepath.Dir(page), link.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if link.Fragment != "" && !anchors(t, target)[link.Fragment] {
				t.Errorf("%s links to %s: no such heading", page, m[1])
			}
		}
	}
	if links == 0 {
		t.Errorf("no links in %q", pages)
	}
}

// anchors are the names by which the headings of a page can be linked to.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	// A # in a block of code is a comment, code in a heading is part of its name.
	text := blockInMarkdown.ReplaceAllString(string(readAllOf(t, page)), "")
	names := map[string]bool{}
	for _, m := range headingInMarkdown.FindAllStringSubmatch(text, -1) {
		name := notInAnchors.ReplaceAllString(strings.ToLower(m[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}
