// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build mips || mipsle || mips64 || mips64le

package signals

import "golang.org/x/sys/unix"

const (
	handler = 1 // struct sigaction's word for it, after the flags
	setSize = 16

	// There is no SIGSTKFLT here; SIGEMT is what else ends a process.
	sigStackFault = unix.SIGEMT
)
