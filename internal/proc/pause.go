// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// Pause sleeps this long, or until a signal comes. time.Sleep would set up the runtime's
// poller for its timer, and that ends the process where no descriptor is to be had.
func Pause(d time.Duration) {
	rest := unix.NsecToTimeval(int64(d))
	_, _ = unix.Select(0, nil, nil, nil, &rest)
}
