// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command sbom tells what binaries are made of, as an SPDX 2.3 document. It takes
// that from the binaries themselves, as "go version -m" does.
//
//	sbom VERSION SECONDS-SINCE-1970 BINARY...
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The parts of SPDX that are needed, by their names there.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	PackageFileName  string        `json:"packageFileName,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
	Comment          string        `json:"comment,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("sbom: ")
	if len(os.Args) < 4 {
		log.Fatal("needs a version, a time and binaries")
	}
	seconds, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	d := newDocument(os.Args[1], time.Unix(seconds, 0).UTC())
	for _, file := range os.Args[3:] {
		if err := d.add(os.Args[1], file); err != nil {
			log.Fatal(err)
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		log.Fatal(err)
	}
}

func newDocument(version string, created time.Time) *document {
	return &document{
		SPDXVersion:       "SPDX-2.3",
		DataLicense:       "CC0-1.0",
		SPDXID:            "SPDXRef-DOCUMENT",
		Name:              "muontrap-" + version,
		DocumentNamespace: "https://spdx.org/spdxdocs/muontrap-" + version + "-" + strconv.FormatInt(created.Unix(), 10),
		CreationInfo:      creationInfo{created.Format(time.RFC3339), []string{"Organization: The muontrap authors"}},
	}
}

// add adds a binary and what is in it.
func (d *document) add(version, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	var settings []string
	for _, s := range info.Settings {
		settings = append(settings, s.Key+"="+s.Value)
	}
	name := filepath.Base(file)
	binary := id(name)
	d.Packages = append(d.Packages, spdxPackage{
		SPDXID: binary, Name: "muontrap", VersionInfo: version, PackageFileName: name,
		DownloadLocation: "NOASSERTION", LicenseDeclared: "Apache-2.0",
		Checksums: []checksum{{"SHA256", fmt.Sprintf("%x", sha256.Sum256(content))}},
		Comment:   "built with " + strings.Join(settings, " "),
	})
	d.relate(d.SPDXID, "DESCRIBES", binary)
	release, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), "-X:") // experiments follow
	d.relate(binary, "CONTAINS", d.module("stdlib", release))
	for _, m := range info.Deps {
		d.relate(binary, "CONTAINS", d.module(m.Path, m.Version))
	}
	return nil
}

// module returns the name of a module in the document, and adds it if it is new.
func (d *document) module(path, version string) string {
	module := id(path + "-" + version)
	for _, p := range d.Packages {
		if p.SPDXID == module {
			return module
		}
	}
	d.Packages = append(d.Packages, spdxPackage{
		SPDXID: module, Name: path, VersionInfo: version,
		DownloadLocation: "NOASSERTION", LicenseDeclared: "NOASSERTION",
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}},
	})
	return module
}

func (d *document) relate(element, how, related string) {
	d.Relationships = append(d.Relationships, relationship{element, how, related})
}

// id makes an identifier of SPDX, which may hold letters, digits, "." and "-".
func id(name string) string {
	return "SPDXRef-" + strings.NewReplacer("/", "-", "_", "-").Replace(name)
}
