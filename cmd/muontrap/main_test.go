// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

// Variables are initialised before init runs: the tests are not to be a muontrap.
var _ = func() any { start = func() {}; return nil }()
