package entity

import (
	"slices"
	"strings"

	"keytrail/schemas/wire"
)

// Family is a group of principals of one KMS key whose names differ only in parts that
// programs make up: a role per build, a user per session, a numbered node.
type Family struct {
	Name    uint32 // hash of what their names have in common
	Members int    // principals with a first use of the KMS key, up to maxMembers
}

const (
	// Churn is how many members make a family known: their successors are expected.
	Churn = 5
	// maxFamilies bounds the families of a KMS key; the newest stay.
	maxFamilies = 8
	maxMembers  = 1000
)

// Known reports whether principals of a family have used the KMS key so often that a new
// member is expected.
func (h *Habits) Known(family uint32) bool {
	return family != 0 && slices.ContainsFunc(h.Families, func(f Family) bool {
		return f.Name == family && f.Members >= Churn
	})
}

// join counts a member of a family.
func (h *Habits) join(family uint32) {
	if family == 0 {
		return
	}
	i := slices.IndexFunc(h.Families, func(f Family) bool { return f.Name == family })
	if i < 0 {
		if len(h.Families) >= maxFamilies {
			h.Families = h.Families[:copy(h.Families, h.Families[1:])]
		}
		i, h.Families = len(h.Families), append(h.Families, Family{Name: family})
	}
	h.Families[i].Members = min(h.Families[i].Members+1, maxMembers)
}

// FamilyOf returns the hash of what a principal's name has in common with those of its
// family: its account, its path, and the parts that nobody made up. It returns 0 for a name
// that has only such parts or no other. A part with a digit, or of at least eight
// hexadecimal letters, is made up.
func FamilyOf(principal string) uint32 {
	account, name := "", principal
	for range 5 {
		_, rest, found := strings.Cut(name, ":")
		if !found {
			return 0 // no ARN: a service, or a foreign account
		}
		name = rest
	}
	account = principal[:len(principal)-len(name)]
	var b strings.Builder
	b.WriteString(account)
	varies, common := false, false
	_, name, _ = strings.Cut(name, "/") // the kind of principal
	for len(name) > 0 {
		n := strings.IndexFunc(name, func(r rune) bool { return !alphanumeric(r) })
		if n < 0 {
			n = len(name)
		}
		if madeUp(name[:n]) {
			b.WriteByte('*')
			varies = true
		} else {
			b.WriteString(name[:n])
			common = common || n >= 2
		}
		if name = name[n:]; name != "" {
			b.WriteByte(name[0])
			name = name[1:]
		}
	}
	if !varies || !common {
		return 0
	}
	return uint32(wire.EntityHash(b.String()))
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// madeUp reports whether a part of a name is one that programs make up.
func madeUp(part string) bool {
	if strings.ContainsAny(part, "0123456789") {
		return true
	}
	return len(part) >= 8 && strings.Trim(part, "abcdefABCDEF") == ""
}
