// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && !mips && !mipsle && !mips64 && !mips64le

package signals

import "golang.org/x/sys/unix"

const sigStackFault = unix.SIGSTKFLT
