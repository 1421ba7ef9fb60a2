// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !mips && !mipsle && !mips64 && !mips64le

package signals

import "golang.org/x/sys/unix"

const (
	handler = 0 // struct sigaction's word for it
	setSize = 8 // of a signal set, in bytes

	sigStackFault = unix.SIGSTKFLT
)
