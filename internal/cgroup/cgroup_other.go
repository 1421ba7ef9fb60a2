// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cgroup

import (
	"errors"
	"time"
)

// Group exists on Linux only.
type Group struct{}

// Create fails: only Linux has control groups.
func Create(string, []Controller) (*Group, error) {
	return nil, errors.New("--group: only Linux has cgroups")
}

// Offers tells for people that there is nothing.
func Offers() (layout, kill string) { return "only Linux has them", "no" }

func (*Group) Dirs() Dirs                { return Dirs{} }
func (*Group) Loosen() error             { return nil }
func (*Group) EventsFD() int             { return -1 }
func (*Group) Empty() bool               { return true }
func (*Group) Members() []int            { return nil }
func (*Group) Terminate(time.Time) error { return nil }
func (*Group) Kill() error               { return nil }
func (*Group) Notes() []string           { return nil }
func (*Group) Hits() []string            { return nil }
func (*Group) Remove() error             { return nil }
func (*Group) Explain(err error) error   { return err }
func (*Group) Thaw()                     {}
