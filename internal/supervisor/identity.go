// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/muontrap/muontrap/internal/child"
)

// maxGroups is how many supplementary groups --groups takes.
const maxGroups = 256

var errRoot = errors.New("0 is root's, and refused")

// identity resolves --uid, --gid and --groups; nil means muontrap's own.
//
// A user given by name brings its primary and supplementary groups, unless they
// are given too. A user given by number changes no groups.
func (o *options) identity() (*syscall.Credential, error) {
	if o.uid == nil && o.gid == nil && o.groups == nil {
		return nil, nil
	}
	as := &syscall.Credential{
		Uid:         uint32(os.Geteuid()),
		Gid:         uint32(os.Getegid()),
		NoSetGroups: true,
	}
	if o.uid != nil {
		if err := o.becomeUser(as); err != nil {
			return nil, fmt.Errorf("--uid %q: %w", *o.uid, err)
		}
	}
	if o.gid != nil {
		gid, err := groupID(*o.gid)
		if err != nil {
			return nil, fmt.Errorf("--gid %q: %w", *o.gid, err)
		}
		as.Gid = gid
	}
	if o.groups != nil {
		groups, err := groupIDs(*o.groups)
		if err != nil {
			return nil, fmt.Errorf("--groups %q: %w", *o.groups, err)
		}
		as.Groups, as.NoSetGroups = groups, false
	}
	if !as.NoSetGroups && haveGroups(as.Groups) {
		as.NoSetGroups = true // setgroups(2) takes a privilege even to change nothing
	}
	return as, nil
}

// becomeUser takes on --uid, and what comes with it when it is a name.
func (o *options) becomeUser(as *syscall.Credential) error {
	uid, err := parseID(*o.uid)
	if !errors.Is(err, errNotNumber) {
		as.Uid = uid
		return err
	}
	user, err := child.LookupUser(*o.uid)
	switch {
	case err != nil:
		return err
	case user.UID == 0:
		return errRoot
	case user.GID == 0 && o.gid == nil:
		return errors.New("its primary group is 0, root's: choose another with --gid")
	}
	as.Uid, as.Gid = user.UID, user.GID // --gid comes after
	if o.groups != nil {
		return nil
	}
	if as.Groups, err = user.Groups(); err != nil {
		return err
	}
	if slices.Contains(as.Groups, 0) {
		return errors.New("is in group 0, root's: choose its groups with --groups")
	}
	as.NoSetGroups = false
	return nil
}

func groupID(s string) (uint32, error) {
	gid, err := parseID(s)
	if errors.Is(err, errNotNumber) {
		if gid, err = child.LookupGroup(s); err == nil && gid == 0 {
			err = errRoot
		}
	}
	return gid, err
}

func groupIDs(list string) ([]uint32, error) {
	if list == "" {
		return nil, nil
	}
	names := strings.Split(list, ",")
	if len(names) > maxGroups {
		return nil, fmt.Errorf("%d groups, at most %d", len(names), maxGroups)
	}
	gids := make([]uint32, 0, len(names))
	for _, name := range names {
		gid, err := groupID(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		gids = append(gids, gid)
	}
	return gids, nil
}

// parseID reads a user or group ID. The highest means "no change" to the kernel
// (setuid(2)), so it is nobody's.
func parseID(s string) (uint32, error) {
	id, err := parseNumber(s, math.MaxUint32-1)
	if err == nil && id == 0 {
		err = errRoot
	}
	return uint32(id), err
}

// haveGroups tells whether muontrap itself has just these supplementary groups.
func haveGroups(want []uint32) bool {
	have, err := os.Getgroups()
	if err != nil {
		return false
	}
	for _, gid := range want {
		if !slices.Contains(have, int(gid)) {
			return false
		}
	}
	for _, gid := range have {
		if !slices.Contains(want, uint32(gid)) {
			return false
		}
	}
	return true
}
