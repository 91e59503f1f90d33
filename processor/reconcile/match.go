package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// Pair is the comparison of one principal's calls on one KMS key. Every call of the trail
// and every expected call counts in it once: Expected is Matched + Missing and those of the
// expected calls that are early or pending; Calls is the same of the calls.
type Pair struct {
	Key string `json:"key"`
	// Principal is "" for expected calls without a partner if the log gives no principals.
	Principal  string `json:"principal,omitempty"`
	Expected   int64  `json:"expected"`
	Calls      int64  `json:"calls"`
	Matched    int64  `json:"matched"`
	Unexpected int64  `json:"unexpected"` // calls without a partner
	Missing    int64  `json:"missing"`    // expected calls without a partner
	// Early and Pending have no partner, but lie before and behind the judged period: the
	// partner may be in what was not read, or may not have been delivered.
	Early   int64 `json:"early"`
	Pending int64 `json:"pending"`
	// Skew is the largest distance of partners in seconds.
	Skew float64 `json:"max_skew_seconds"`
}

// Kinds of Unmatched.
const (
	Unexpected = "unexpected_call"
	Missing    = "missing_call"
	Pending    = "pending_call"
)

// Unmatched is a call without a partner, or an expected call without one. Early ones are
// only counted.
type Unmatched struct {
	Kind      string    `json:"kind"`
	Time      time.Time `json:"time"`
	Key       string    `json:"key"`
	Principal string    `json:"principal,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Outcome   string    `json:"outcome,omitempty"` // of a call
	Call      string    `json:"call,omitempty"`    // its id, keytrail.call.id
	File      string    `json:"file,omitempty"`    // of the log, and the line
	Line      int32     `json:"line,omitempty"`
}

// call is a call of the trail on a key that the log names.
type call struct {
	time      int64
	id        string
	principal string
	at        int32
	part      uint32
	outcome   kms.Outcome
	paired    bool
}

// Matcher compares the calls of a trail with a log. It is not safe for concurrent use.
type Matcher struct {
	log        *Log
	skew       int64
	keys       map[string]string // what the log calls a key: its ARN
	scope      map[string]bool   // the values of keys
	parts      []part            // by number
	principals map[string]string
	calls      []call
	numbers    map[identity]int32
	identities []identity
	pairs      map[[2]string]*Pair
}

// NewMatcher returns a Matcher that takes calls at most skew apart for partners. ledger has
// the keys of the trail, and their aliases. The error names an alias or an id of several.
func NewMatcher(log *Log, ledger *keyledger.Ledger, skew time.Duration) (*Matcher, error) {
	m := &Matcher{log: log, skew: int64(skew), keys: map[string]string{}, scope: map[string]bool{},
		parts: make([]part, len(log.parts)+1), principals: map[string]string{}, numbers: map[identity]int32{},
		pairs: map[[2]string]*Pair{}}
	for p, n := range log.parts {
		m.parts[n] = p
	}
	for _, v := range log.identities {
		m.keys[v.key] = ""
	}
	several := map[string]string{}
	ledger.All(func(k *keyledger.Key) bool {
		m.name(k.Name, k.Name, several)
		for _, a := range k.Aliases {
			if !a.Removed && a.Moved == 0 {
				m.name(a.Name, k.Name, several)
			}
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(several)) {
		return nil, fmt.Errorf("the log's key %q is both %s and %s; write the ARN into the log", name, m.keys[name],
			several[name])
	}
	for name, key := range m.keys {
		m.scope[cmp.Or(key, name)] = true
	}
	return m, nil
}

// name notes that a key has a name, if the log uses it or an end of it.
func (m *Matcher) name(name, key string, several map[string]string) {
	_, end, _ := strings.Cut(name, ":key/")
	for _, n := range [...]string{name, name[strings.LastIndexByte(name, ':')+1:], end} {
		had, wanted := m.keys[n]
		switch alias := cloud.Form(key) == kms.FormAlias; {
		case !wanted || had == key || alias && had != "":
		case had == "" || cloud.Form(had) == kms.FormAlias: // its key tells more than an alias
			m.keys[n] = key
		default:
			several[n] = key
		}
	}
}

// Add takes a call of the trail. Every call must be added once. number is what Log.Number
// returned for it. A ReEncrypt counts for its first key, from which it decrypts.
func (m *Matcher) Add(c *count.Call, number uint32) error {
	if !m.scope[c.Key] || !m.log.judges(c, number) {
		return nil
	}
	if len(m.calls) >= MaxCalls {
		return fmt.Errorf("the trail has more than %d calls on the log's keys; choose a part with --key or PATHS", MaxCalls)
	}
	principal, ok := m.principals[c.Principal]
	if !ok {
		principal = strings.Clone(c.Principal)
		m.principals[principal] = principal
	}
	v := identity{key: c.Key, operation: m.parts[number].operation, context: m.parts[number].context}
	if m.log.fields.principal != "" {
		v.principal = principal
	}
	m.calls = append(m.calls, call{time: c.Time, id: c.IDText, principal: principal, at: m.number(v), part: number,
		outcome: c.Outcome})
	return nil
}

func (m *Matcher) number(v identity) int32 {
	n, ok := m.numbers[v]
	if !ok {
		n = int32(len(m.identities))
		v.key = strings.Clone(v.key)
		m.numbers[v], m.identities = n, append(m.identities, v)
	}
	return n
}

// Finish finds partners and returns the pairs, ordered by key and principal. Of calls and
// expected calls without a partner it calls f, in order of time: those from from on and
// before to are Unexpected or Missing, later ones are Pending.
func (m *Matcher) Finish(from, to int64, f func(*Unmatched) error) ([]Pair, error) {
	if err := m.resolve(); err != nil {
		return nil, err
	}
	slices.SortFunc(m.calls, func(a, b call) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id))
	})
	slices.SortFunc(m.log.calls, func(a, b expected) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.time, b.time), cmp.Compare(a.file, b.file),
			cmp.Compare(a.line, b.line))
	})
	m.match()
	slices.SortFunc(m.calls, func(a, b call) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id)) })
	slices.SortFunc(m.log.calls, func(a, b expected) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	if err := m.unmatched(from, to, f); err != nil {
		return nil, err
	}
	var list []Pair
	for _, p := range m.pairs {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Principal, b.Principal))
	})
	return list, nil
}

// resolve gives the expected calls the identities of the trail's.
func (m *Matcher) resolve() error {
	ends := map[string][]string{} // the principals with an end that the log uses
	for _, v := range m.log.identities {
		ends[v.principal] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(m.principals)) {
		for at := 0; ; {
			if list, ok := ends[name[at:]]; ok {
				ends[name[at:]] = append(list, name)
			}
			i := strings.IndexAny(name[at:], ":/")
			if i < 0 {
				break
			}
			at += i + 1
		}
	}
	to := make([]int32, len(m.log.identities))
	for i, v := range m.log.identities {
		v.key = cmp.Or(m.keys[v.key], v.key)
		switch list := ends[v.principal]; {
		case v.principal == "" || len(list) == 0 || slices.Contains(list, v.principal):
		case len(list) > 1:
			return fmt.Errorf("the log's principal %q is both %s and %s; write the ARN into the log", v.principal, list[0],
				list[1])
		default:
			v.principal = list[0]
		}
		to[i] = m.number(v)
	}
	for i := range m.log.calls {
		m.log.calls[i].at = to[m.log.calls[i].at]
	}
	return nil
}

// match finds the partners. Both lists are ordered by identity and time. Taking the earliest
// call that is near enough for the earliest expected one gives the most pairs, because all
// expected calls have the same skew: intervals of one length are in order of both ends.
func (m *Matcher) match() {
	calls, log := m.calls, m.log.calls
	for i, j := 0, 0; i < len(calls) && j < len(log); {
		c, e := &calls[i], &log[j]
		switch {
		case c.at < e.at || c.at == e.at && c.time < e.time-m.skew:
			i++
		case c.at > e.at || c.time > e.time+m.skew:
			j++
		default:
			c.paired, e.paired = true, true
			p := m.pair(c.at, c.principal)
			p.Matched++
			p.Expected++
			p.Calls++
			p.Skew = max(p.Skew, math.Abs(float64(c.time-e.time))/1e9)
			i, j = i+1, j+1
		}
	}
}

// pair returns the Pair of an identity's key and a principal.
func (m *Matcher) pair(at int32, principal string) *Pair {
	key := m.identities[at].key
	p := m.pairs[[2]string{key, principal}]
	if p == nil {
		p = &Pair{Key: key, Principal: principal}
		m.pairs[[2]string{key, principal}] = p
	}
	return p
}

// unmatched counts what has no partner, and calls f. Both lists are ordered by time.
func (m *Matcher) unmatched(from, to int64, f func(*Unmatched) error) error {
	calls, log := m.calls, m.log.calls
	for len(calls) > 0 || len(log) > 0 {
		var u Unmatched
		var p *Pair
		var n *int64 // of the kind within the period
		if len(log) == 0 || len(calls) > 0 && calls[0].time <= log[0].time {
			c := &calls[0]
			if calls = calls[1:]; c.paired {
				continue
			}
			p = m.pair(c.at, c.principal)
			p.Calls++
			u = Unmatched{Unexpected, time.Unix(0, c.time).UTC(), p.Key, p.Principal, m.parts[c.part].operation,
				c.outcome.String(), c.id, "", 0}
			n = &p.Unexpected
		} else {
			e := &log[0]
			if log = log[1:]; e.paired {
				continue
			}
			v := &m.identities[e.at]
			p = m.pair(e.at, v.principal)
			p.Expected++
			u = Unmatched{Missing, time.Unix(0, e.time).UTC(), p.Key, p.Principal, v.operation, "", "",
				m.log.files[e.file], e.line}
			n = &p.Missing
		}
		switch t := u.Time.UnixNano(); {
		case t < from:
			p.Early++
			continue
		case t >= to:
			p.Pending++
			u.Kind = Pending
		default:
			*n++
		}
		if err := f(&u); err != nil {
			return err
		}
	}
	return nil
}
