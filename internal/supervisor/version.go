// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"fmt"
	"runtime"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// Set by the linker: see the Makefile.
var version, commit = "unreleased", "unknown"

// about is what a report of a problem should begin with.
func about() string {
	var kernel unix.Utsname
	_ = unix.Uname(&kernel)
	layout, kill := cgroup.Offers()
	return fmt.Sprintf("muontrap %s\ncommit: %s\nbuilt by: %s for %s/%s\nthreads: %s\nkernel: %s %s\npidfd: %s\ncgroups: %s\ncgroup.kill: %s\n",
		version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, proc.Threads(),
		unix.ByteSliceToString(kernel.Sysname[:]), unix.ByteSliceToString(kernel.Release[:]),
		proc.OffersPidfd(), layout, kill)
}
