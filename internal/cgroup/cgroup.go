// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup contains and limits a program with the kernel's control
// groups, version 1, version 2, or both side by side (cgroups(7),
// Documentation/admin-guide/cgroup-v2.rst).
//
// A [Group] is one path in every hierarchy that a caller's controllers need.
// Where each controller lives is asked from the kernel, so the caller need not
// know. [Create] makes the directories, locks them, and writes the limits, or
// undoes everything and says what is wrong. The program is then started inside
// ([Group.Dirs]); the group tells when it is empty ([Group.EventsFD],
// [Group.Empty]), signals or kills all that is in it, and [Group.Remove] takes
// the directories away again, those below it included.
//
// Beside the hierarchies asked for, a group takes a place in one more that
// makes its end sure, if it may: the unified one, which has an atomic kill and
// events, else the v1 freezer.
//
// A directory that muontrap made has the sticky bit, one that it uses holds its pid
// in an extended attribute, and while that muontrap lives, a lock. Used and not
// locked is what a killed muontrap left: it is emptied and used again. A directory
// with neither is somebody else's: it is used if nothing lives there. What was not
// made by muontrap is left in place.
package cgroup

// Controller is a controller and what to write to its files.
type Controller struct {
	Name     string
	Settings []Setting
}

// Setting is a value for a file of the group.
type Setting struct{ File, Value string }

// Dirs are directory descriptors for whoever starts the program.
type Dirs struct {
	// Born is where it can be started with clone3(2) and CLONE_INTO_CGROUP; 0:
	// nowhere.
	Born int
	// Join are those that it has to enter by itself, last thing before execve(2).
	Join []int
}
