// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestIDs(t *testing.T) {
	for s, want := range map[string]uint32{
		"1": 1, "1000": 1000, "0x10": 16, "010": 8, "4294967294": 4294967294,
	} {
		if got, err := parseID(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "00", "0x0"} {
		if _, err := parseID(s); !errors.Is(err, errRoot) {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "-1", "+1", "nobody", "1x", "0x", "1 "} {
		if _, err := parseID(s); !errors.Is(err, errNotNumber) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"4294967295", "4294967296", "99999999999999999999"} { // -1 means no change
		if _, err := parseID(s); err == nil || errors.Is(err, errNotNumber) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestGroupLists(t *testing.T) {
	for list, want := range map[string][]uint32{
		"":          nil,
		"7":         {7},
		"7,8,9":     {7, 8, 9},
		"0x10,010":  {16, 8},
		"7,7":       {7, 7},
		ids(1, 256): numbers(1, 256),
	} {
		got, err := groupIDs(list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{
		"0", "7,0", "0,7", "root", ",", "7,", ",7", "7,,8", "7 8", "-1", "no such group", "4294967295", ids(1, 257),
	} {
		if got, err := groupIDs(list); err == nil {
			t.Errorf("%q is accepted as %v", list, got)
		}
	}
}

func numbers(from, to uint32) (n []uint32) {
	for i := from; i <= to; i++ {
		n = append(n, i)
	}
	return n
}

func ids(from, to uint32) string {
	var s []string
	for _, n := range numbers(from, to) {
		s = append(s, strconv.Itoa(int(n)))
	}
	return strings.Join(s, ",")
}

func TestNoIdentityAskedForIsNone(t *testing.T) {
	if as, err := mustParse(t, "p").identity(); as != nil || err != nil {
		t.Errorf("%+v, %v", as, err)
	}
}

func TestNumericUserKeepsGroups(t *testing.T) {
	as, err := mustParse(t, "-u 4242 p").identity()
	if err != nil {
		t.Fatal(err)
	}
	if as.Uid != 4242 || as.Gid != uint32(os.Getegid()) || !as.NoSetGroups {
		t.Errorf("%+v", as)
	}
}

func TestGroupsAreSetAsGiven(t *testing.T) {
	as, err := mustParse(t, "-u 4242 -a 4243 -G 7,8 p").identity()
	if err != nil {
		t.Fatal(err)
	}
	if as.Uid != 4242 || as.Gid != 4243 || as.NoSetGroups || !slices.Equal(as.Groups, []uint32{7, 8}) {
		t.Errorf("%+v", as)
	}
}

func TestRootIsRefused(t *testing.T) {
	for _, line := range []string{
		"-u 0 p", "-u 0x0 p", "-u root p", "-a 0 p", "-a 00 p", "-G 0 p", "-G 7,0 p", "-u 4242 -a 0 p",
	} {
		_, err := mustParse(t, line).identity()
		if !errors.Is(err, errRoot) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	for line, option := range map[string]string{
		"-u no_such_user p":    "--uid",
		"-a no_such_group p":   "--gid",
		"-G 7,no_such_group p": "--groups",
		"-u '' p":              "--uid",
		"-a '' p":              "--gid",
	} {
		_, err := mustParse(t, line).identity()
		if err == nil || !strings.HasPrefix(err.Error(), option) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
