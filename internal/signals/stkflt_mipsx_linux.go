// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (mips || mipsle || mips64 || mips64le)

package signals

import "golang.org/x/sys/unix"

// There is no SIGSTKFLT here; SIGEMT is what else ends a process.
const sigStackFault = unix.SIGEMT
