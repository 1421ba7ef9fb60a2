// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package proc

import "strconv"

// Describe names a process for messages.
func Describe(pid int) string { return "process " + strconv.Itoa(pid) }

// Threads tells for people how many threads this process has.
func Threads() string { return "several" }

// OffersPidfd tells for people whether this kernel has pidfds.
func OffersPidfd() string { return "no" }
