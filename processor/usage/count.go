package usage

import (
	"time"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// Totals are the counts of some calls on a key. Times are in ns since 1970.
type Totals struct {
	Calls, Refused, Failed int64
	Uses                   int64 // cryptographic operations that succeeded
	First, Last            int64 // of the calls
	FirstUse, LastUse      int64 // of the uses; 0 if there are none
}

func (t *Totals) add(c *count.Call) {
	t.Calls++
	switch c.Outcome {
	case kms.OutcomeDenied:
		t.Refused++
	case kms.OutcomeFailed:
		t.Failed++
	}
	if t.Calls == 1 || c.Time < t.First {
		t.First = c.Time
	}
	t.Last = max(t.Last, c.Time)
	if !IsUse(c) {
		return
	}
	if t.Uses++; t.Uses == 1 || c.Time < t.FirstUse {
		t.FirstUse = c.Time
	}
	t.LastUse = max(t.LastUse, c.Time)
}

// IsUse reports whether a call is a use of a key: a cryptographic operation that succeeded,
// not a read about the key, such as the console's, and not a change of it.
func IsUse(c *count.Call) bool {
	return c.Outcome == kms.OutcomeOK && keyledger.Cryptographic(c.Class)
}

// User is one principal's part of the calls.
type User struct {
	Totals
	Operations, TLS, Exchanges map[string]int64
}

// Calls are the counted calls of one KMS key, or of an alias whose key is not known.
type Calls struct {
	Totals
	// LastCall is the id of the last use's call: of those of one time, the greatest.
	LastCall, LastOperation, LastPrincipal string
	Users                                  map[string]*User
	Operations, Contexts, Services         map[string]int64
	Accounts, Regions, Networks            map[string]int64
	TLS, Exchanges                         map[string]int64
	Days                                   map[int64]int64 // calls by day, in days since 1970
	objects                                keyledger.Distinct
}

// maxNames bounds the names of one kind of a key, such as its networks: further ones count
// as Other.
const maxNames = 10_000

// Counter counts the calls of all keys. It is not safe for concurrent use.
type Counter struct {
	// Principal, unless it is nil, reports whether the calls of a principal count.
	Principal func(string) bool
	keys      map[string]*Calls
	// Unkept counts calls of keys beyond the bound of a million.
	Unkept int64
}

// Add counts one call for its keys. Every call must be counted once.
func (n *Counter) Add(c *count.Call, d *Detail) {
	if n.Principal != nil && !n.Principal(c.Principal) {
		return
	}
	for _, key := range [...]string{c.Key, c.SecondKey} {
		if key == kms.NoEntity || key == "" || cloud.Form(key) == kms.FormOther && !cloud.Complete(key) {
			continue
		}
		k := n.keys[key]
		if k == nil {
			if len(n.keys) >= keyledger.MaxKeys {
				n.Unkept++
				continue
			}
			k = &Calls{}
			if n.keys == nil {
				n.keys = map[string]*Calls{}
			}
			n.keys[key] = k
		}
		k.add(c, d)
	}
}

func (k *Calls) add(c *count.Call, d *Detail) {
	if IsUse(c) && (c.Time > k.LastUse || c.Time == k.LastUse && c.IDText > k.LastCall) {
		k.LastCall, k.LastOperation, k.LastPrincipal = c.IDText, d.Operation, c.Principal
	}
	k.Totals.add(c)
	tally(&k.Operations, d.Operation)
	tally(&k.Contexts, c.Context.String())
	tally(&k.Services, d.Service)
	tally(&k.Accounts, d.Account)
	tally(&k.Regions, d.Region)
	tally(&k.Networks, d.Network)
	tally(&k.TLS, d.TLS)
	tally(&k.Exchanges, d.Exchange)
	if c.Object != 0 {
		k.objects.Add(c.Object)
	}
	if k.Days == nil {
		k.Days, k.Users = map[int64]int64{}, map[string]*User{}
	}
	k.Days[c.Time/int64(24*time.Hour)]++
	name := c.Principal
	if k.Users[name] == nil && len(k.Users) >= maxNames {
		name = Other
	}
	u := k.Users[name]
	if u == nil {
		u = &User{}
		k.Users[name] = u
	}
	u.add(c)
	tally(&u.Operations, d.Operation)
	tally(&u.TLS, d.TLS)
	tally(&u.Exchanges, d.Exchange)
}

// tally adds one to the count of a name. A call without the property has the name "".
func tally(m *map[string]int64, name string) {
	if name == "" {
		return
	}
	if *m == nil {
		*m = map[string]int64{}
	}
	if _, ok := (*m)[name]; !ok && len(*m) >= maxNames {
		name = Other
	}
	(*m)[name]++
}
