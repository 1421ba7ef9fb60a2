// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build idle

package single

import _ "unsafe" // for go:linkname

// The Go runtime's monitor wakes up after half of this time, in nanoseconds, and looks
// whether a collection is due. Here none ever is.
//
//go:linkname forcegcperiod runtime.forcegcperiod
var forcegcperiod int64

func init() { forcegcperiod = 1<<63 - 1 }
