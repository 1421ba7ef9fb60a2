// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"slices"
	"strings"
	"syscall"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
)

// prepare makes what the program starts with: its identity, its streams and what
// contains it.
func (s *supervisor) prepare() (err error) {
	if s.as, err = s.opts.identity(); err != nil {
		return err
	}
	if s.streams, err = child.OpenStreams(s.opts.capture(), s.opts.window, s.opts.watch != watchStdin); err != nil {
		return err
	}
	if s.opts.watch != watchStdin {
		s.terminal = openTerminal()
	}
	return s.contain()
}

// contain makes the cgroup that was asked for, or else sees to it that orphans
// come here, unless only the program is to be stopped.
func (s *supervisor) contain() (err error) {
	s.group = new(cgroup.Group)
	s.contained = s.group
	switch {
	case s.opts.group != nil:
		s.signals.Settle() // else a signal from before could still leave directories behind
		if s.group, err = cgroup.Create(*s.opts.group, s.opts.controllers); err != nil {
			return err
		}
		s.contained = s.group
		for _, note := range s.group.Notes() {
			complain("%s", note)
		}
	case s.opts.killMode != killProcess:
		if s.contained, err = child.Adopt(); err != nil {
			complain("%v", err)
		}
	}
	return nil
}

// start runs the program.
func (s *supervisor) start() (err error) {
	dirs := s.group.Dirs()
	s.program, err = child.Start(&child.Spec{
		Program: s.opts.program[0],
		Args:    s.opts.argv(),
		Env:     programEnv(),
		Files:   s.streams.Files,
		As:      s.as,
		Born:    dirs.Born,
		Join:    dirs.Join,
		Orphans: true,
	})
	switch {
	case err == nil:
		letGo(s.opts.handedOn()...)
		if refused := s.group.Loosen(); refused != nil {
			complain("%v", refused)
		}
	case startStatus(err) == statusFailure:
		return s.group.Explain(err)
	}
	return err
}

// programEnv is muontrap's environment without what is meant for muontrap alone.
func programEnv() []string {
	return slices.DeleteFunc(syscall.Environ(), func(e string) bool {
		return strings.HasPrefix(e, optionsVariable+"=")
	})
}
