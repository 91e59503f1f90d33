package usage

import (
	"time"

	"keytrail/processor/keyledger"
	"keytrail/schemas/kms"
)

// Ledger is the ledger of a key, as JSON has it.
type Ledger struct {
	FirstSeen    *time.Time            `json:"first_seen"`
	LastSeen     *time.Time            `json:"last_seen"`
	Facts        map[string]Fact       `json:"facts"`
	LastUses     map[string]*time.Time `json:"last_uses"` // by operation class
	Replicas     []string              `json:"replicas,omitempty"`
	History      []Change              `json:"history"`
	MoreHistory  int64                 `json:"more_history,omitempty"`
	MoreAliases  int64                 `json:"more_aliases,omitempty"`
	MoreGrants   int64                 `json:"more_grants,omitempty"`
	GrantsOpen   int                   `json:"grants_open"`
	GrantsClosed int                   `json:"grants_closed"`
}

// Fact is one property of a key.
type Fact struct {
	At    time.Time  `json:"at"`
	Value string     `json:"value,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	Days  int64      `json:"days,omitempty"`
	By    string     `json:"by,omitempty"`
	Tied  bool       `json:"tied,omitempty"`
}

// Change is one entry of the history.
type Change struct {
	At     time.Time `json:"at"`
	Change string    `json:"change"`
	Detail string    `json:"detail,omitempty"`
	By     string    `json:"by,omitempty"`
}

// Grant is an open grant.
type Grant struct {
	ID         string    `json:"id"`
	Name       string    `json:"name,omitempty"`
	Opened     time.Time `json:"opened"`
	By         string    `json:"by"`
	Grantee    string    `json:"grantee"`
	Service    bool      `json:"grantee_is_service"`
	Retiring   string    `json:"retiring,omitempty"`
	Operations string    `json:"operations,omitempty"`
	Constraint string    `json:"constraint,omitempty"`
	Source     string    `json:"source_arn,omitempty"`
}

func ledgerOf(k *keyledger.Key) *Ledger {
	l := &Ledger{FirstSeen: second(k.First), LastSeen: second(k.Last), Facts: map[string]Fact{},
		LastUses: map[string]*time.Time{}, Replicas: k.Replicas, History: []Change{}}
	for id := range k.Facts {
		f := &k.Facts[id]
		if f.At == 0 {
			continue
		}
		out := Fact{At: time.Unix(f.At, 0).UTC(), Value: f.Value, By: f.By, Tied: f.Tied}
		if keyledger.FactID(id) == keyledger.Rotation {
			out.Days = f.Until
		} else {
			out.Until = second(f.Until)
		}
		l.Facts[keyledger.FactID(id).String()] = out
	}
	for class, s := range k.Uses {
		if s != 0 {
			l.LastUses[kms.Class(class).String()] = second(s)
		}
	}
	for _, e := range k.History {
		l.History = append(l.History, Change{time.Unix(e.At, 0).UTC(), e.Change.String(), e.Detail, e.By})
	}
	l.MoreHistory, _ = k.MoreHistory.Count()
	l.MoreAliases, _ = k.MoreAliases.Count()
	l.MoreGrants, _ = k.MoreGrants.Count()
	l.GrantsOpen = len(k.Open())
	for i := range k.Grants {
		if k.Grants[i].Closed != 0 {
			l.GrantsClosed++
		}
	}
	return l
}

// openGrants lists the open grants, at most keyledger.MaxOpen.
func openGrants(k *keyledger.Key) []Grant {
	list := []Grant{}
	for _, g := range k.Open() {
		if len(list) == keyledger.MaxOpen {
			break
		}
		list = append(list, Grant{g.ID, g.Name, time.Unix(g.Opened, 0).UTC(), g.By, g.Grantee, g.Service, g.Retiring,
			g.Operations, g.Constraint, g.Source})
	}
	return list
}
