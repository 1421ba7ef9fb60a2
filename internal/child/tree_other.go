// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package child

import "time"

// Tree is the program's descendants, which only Linux lets muontrap keep hold of.
type Tree struct{}

// Childless is not asked here.
func Childless() bool { return true }

// Adopt does nothing here.
func Adopt() (*Tree, error) { return new(Tree), nil }

func (*Tree) Members() []int            { return nil }
func (*Tree) EventsFD() int             { return -1 }
func (*Tree) Thaw()                     {}
func (*Tree) Empty() bool               { return true }
func (*Tree) Terminate(time.Time) error { return nil }
func (*Tree) Kill() error               { return nil }
