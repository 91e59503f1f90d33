package keyledger

import (
	"cmp"
	"slices"
	"strings"

	"keytrail/schemas/wire"
)

// Grant is one grant on a key. Times are in seconds since 1970, and 0 means that the trail
// does not show the event.
type Grant struct {
	ID string
	Details
	Opened, Closed int64
	Revoked        bool // closed by RevokeGrant, not retired
	ClosedBy       string
}

// Details are what the creation of a grant states.
type Details struct {
	By, Name string
	Grantee  string
	// Service reports whether Grantee is a service principal; RetiringService says the
	// same of Retiring.
	Service, RetiringService bool
	Retiring                 string
	Operations               string // with commas between them
	Constraint               string // the encryption context that its users must give, as JSON
	Source                   string // the resource on whose behalf alone a service may use it
}

func (d *Details) compare(o *Details) int {
	return cmp.Or(strings.Compare(d.By, o.By), strings.Compare(d.Name, o.Name), strings.Compare(d.Grantee, o.Grantee),
		strings.Compare(d.Retiring, o.Retiring), strings.Compare(d.Operations, o.Operations),
		strings.Compare(d.Constraint, o.Constraint), strings.Compare(d.Source, o.Source))
}

// Open reports whether the grant is open as far as the trail shows.
func (g *Grant) Open() bool { return g.Opened != 0 && g.Closed == 0 }

// join joins what two events state. The first creation and the last end count. A grant does
// not open again: another creation has another id.
func (g *Grant) join(o *Grant) {
	first := o.Opened != 0 && (g.Opened == 0 || o.Opened < g.Opened)
	if first || o.Opened != 0 && o.Opened == g.Opened && o.compare(&g.Details) > 0 {
		g.Opened, g.Details = o.Opened, o.Details
	}
	switch {
	case o.Closed > g.Closed:
		g.Closed, g.Revoked, g.ClosedBy = o.Closed, o.Revoked, o.ClosedBy
	case o.Closed == g.Closed:
		g.Revoked, g.ClosedBy = g.Revoked || o.Revoked, max(g.ClosedBy, o.ClosedBy)
	}
}

// grant joins a grant to those of the key, and reports whether that changed the key.
func (k *Key) grant(g *Grant) (changed bool) {
	i, ok := slices.BinarySearchFunc(k.Grants, g.ID, func(x Grant, id string) int { return strings.Compare(x.ID, id) })
	if ok {
		was := k.Grants[i]
		k.Grants[i].join(g)
		return k.Grants[i] != was
	}
	if len(k.Grants) == MaxGrants {
		if out, counted := k.leaveOut(g); out {
			return counted
		}
	}
	k.Grants = slices.Insert(k.Grants, i, *g)
	if len(k.Grants) > MaxGrants {
		k.Grants = dropGreatest(k.Grants, &k.MoreGrants, func(x *Grant) string { return x.ID })
		k.greatest = 0
	}
	return true
}

// leaveOut reports whether dropGreatest would drop g from the full list, and counts it then.
// It spares the search for nearly all grants of a key with very many.
func (k *Key) leaveOut(g *Grant) (out, counted bool) {
	if k.greatest == 0 {
		for i := range k.Grants {
			k.greatest = max(k.greatest, wire.EntityHash(k.Grants[i].ID))
		}
	}
	if wire.EntityHash(g.ID) < k.greatest {
		return false, false
	}
	return true, k.MoreGrants.Add(wire.EntityHash("more " + g.ID))
}

// Open returns the open grants, the oldest first.
func (k *Key) Open() []*Grant {
	var list []*Grant
	for i := range k.Grants {
		if k.Grants[i].Open() {
			list = append(list, &k.Grants[i])
		}
	}
	slices.SortFunc(list, func(a, b *Grant) int {
		return cmp.Or(cmp.Compare(a.Opened, b.Opened), strings.Compare(a.ID, b.ID))
	})
	return list
}
