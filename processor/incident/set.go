package incident

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"keytrail/processor/anomaly"
)

// Bounds of a Set. A part takes about 1 kB, most of it ids and the sentence.
const (
	MaxParts    = 4096   // of an account, in NewSet
	MaxAll      = 65_536 // of all accounts, in NewSet
	MaxAccounts = 10_000 // with open incidents
)

// mostChanges is how often an incident is published between its beginning and its end, and
// mostWider how often of those because of its extent: a person is woken at most so often.
const (
	mostChanges = 3
	mostWider   = 2
)

// The states of a Publication.
const (
	Open  = "open"
	Ended = "ended"
)

// Publication is an incident as it is published: when it begins, when its severity rises or
// its extent doubles, and when it ends, at most five times in all.
type Publication struct {
	*Incident
	State    string
	Severity string // as that of anomalies
	Revision int64  // 0, 1, …: the highest is the valid one
	// Into is the id of the incident that has taken in an ended one, because a late call
	// showed that they are one act; "" else.
	Into string
	At   int64 // event time
}

// published is what a Set remembers of an incident's publications.
type published struct {
	Account  string `json:"account"`
	Revision int64  `json:"revision"`
	Changes  int    `json:"changes"`
	Wider    int    `json:"wider"`
	Severity string `json:"severity"`
	Parts    int    `json:"parts"`
	At       int64  `json:"at"`
	Into     string `json:"into,omitempty"` // it has ended by becoming part of another
}

// account is the state of an account.
type account struct {
	parts   map[string]*Part
	told    map[string]*published // by incident
	touched bool
}

// Set holds the open incidents of some accounts. It is not safe for concurrent use.
type Set struct {
	accounts map[string]*account
	changed  map[string]bool // state keys that Changes reports
	late     int64           // of the last Advance
	// Most bounds the anomalies of an account, and All those of the set.
	Most, All int
	// Final publishes each incident once, when it has ended; Rest publishes the others.
	Final bool
	// Unkept counts anomalies beyond the bounds; they belong to no incident.
	Unkept int64
	size   int // anomalies in the set
}

// NewSet returns an empty Set.
func NewSet() *Set {
	return &Set{Most: MaxParts, All: MaxAll, accounts: map[string]*account{}, changed: map[string]bool{},
		late: math.MinInt64}
}

// Len returns the number of anomalies in the set.
func (s *Set) Len() (n int) {
	for _, a := range s.accounts {
		n += len(a.parts)
	}
	return n
}

// Put takes a state of an anomaly of an account. Repetitions and older states change nothing.
// Of too many anomalies of an account, those with the highest scores stay.
func (s *Set) Put(name string, p Part) {
	a := s.accounts[name]
	if (a == nil || a.parts[p.ID] == nil) && (p.Until <= s.late || p.First == math.MaxInt64) {
		return // a repetition of what has been forgotten, or the end of what was evicted
	}
	if a == nil {
		if len(s.accounts) >= MaxAccounts {
			s.Unkept++
			return
		}
		a = &account{parts: map[string]*Part{}, told: map[string]*published{}}
		s.accounts[strings.Clone(name)] = a
	}
	had := a.parts[p.ID]
	now := Join(had, &p)
	if had != nil && now.equal(had) {
		return
	}
	if had == nil {
		s.size++
	}
	a.parts[p.ID], a.touched = now, true
	s.changed[partKey(name, p.ID)] = true
	if len(a.parts) > s.Most || s.size > s.All {
		s.evict(name, a)
	}
}

// Resume continues after Restore, at the event time of the last Advance.
func (s *Set) Resume(late int64) { s.late, s.size = late, s.Len() }

// evict removes the part with the lowest score.
func (s *Set) evict(name string, a *account) {
	var least *Part
	for _, p := range a.parts {
		if a.told[idOf(name, p.ID)] != nil {
			continue // an incident bears its name
		}
		if least == nil || cmp.Or(cmp.Compare(p.Score, least.Score), strings.Compare(p.ID, least.ID)) < 0 {
			least = p
		}
	}
	if least == nil {
		return // all have begun incidents
	}
	delete(a.parts, least.ID)
	s.size--
	s.changed[partKey(name, least.ID)] = true
	s.Unkept++
}

// Advance publishes what has changed since the last call, by account. late is the event time
// before which no anomaly is found or changes any more: incidents whose anomalies have all
// ended by then end, and are forgotten. A publication is valid during the call.
func (s *Set) Advance(late int64, emit func(*Publication)) {
	for _, name := range slices.Sorted(maps.Keys(s.accounts)) {
		a := s.accounts[name]
		if !a.touched && (late <= s.late || !a.due(late)) {
			continue
		}
		a.touched = false
		s.step(name, a, late, emit)
		if len(a.parts) == 0 && len(a.told) == 0 {
			delete(s.accounts, name)
		}
	}
	s.late = max(s.late, late)
}

// due reports whether an anomaly has ended by late.
func (a *account) due(late int64) bool {
	for _, p := range a.parts {
		if p.Until <= late {
			return true
		}
	}
	return false
}

// step publishes the incidents of an account.
func (s *Set) step(name string, a *account, late int64, emit func(*Publication)) {
	list := Fold(name, slices.Collect(maps.Values(a.parts)))
	now := map[string]bool{}
	for _, i := range list {
		now[i.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(a.told)) { // taken in by others
		if t := a.told[id]; !now[id] && t.Into == "" {
			s.taken(a, id, list, emit)
		}
	}
	for _, i := range list {
		s.publish(a, i, i.Until <= late, emit)
		if i.Until <= late {
			s.forget(name, a, i)
		}
	}
}

// publish publishes an incident, if there is a reason.
func (s *Set) publish(a *account, i *Incident, ended bool, emit func(*Publication)) {
	if s.Final && !ended {
		return
	}
	severity := anomaly.SeverityOf(i.Risk)
	t := a.told[i.ID]
	switch {
	case t == nil:
		t = &published{Account: i.Account, Revision: -1}
		a.told[i.ID] = t
		if ended { // it was never open: it is told once
			t.Revision = 0
		}
	case ended:
	case t.Into != "": // it is one of its own again
		t.Into = ""
		t.Changes++
	case rank(severity) > rank(t.Severity) && t.Changes < mostChanges:
		t.Changes++
	case len(i.Parts) >= 2*t.Parts && t.Wider < mostWider && t.Changes < mostChanges-1:
		t.Changes++
		t.Wider++
	default:
		return
	}
	t.Revision++
	t.Severity, t.Parts, t.At = severity, len(i.Parts), i.At
	s.changed[toldKey(i.ID)] = true
	p := &Publication{Incident: i, State: Open, Severity: severity, Revision: t.Revision, At: i.At}
	if ended {
		p.State, p.At = Ended, i.Until
	}
	emit(p)
}

// Rest publishes the incidents that have not ended, as they are.
func (s *Set) Rest(emit func(*Publication)) {
	for _, name := range slices.Sorted(maps.Keys(s.accounts)) {
		for _, i := range Fold(name, slices.Collect(maps.Values(s.accounts[name].parts))) {
			emit(&Publication{Incident: i, State: Open, Severity: anomaly.SeverityOf(i.Risk), At: i.At})
		}
	}
}

// taken ends an incident that has become part of another.
func (s *Set) taken(a *account, id string, list []*Incident, emit func(*Publication)) {
	t := a.told[id]
	for _, i := range list {
		for _, p := range i.Parts {
			if idOf(i.Account, p.ID) == id {
				t.Into = i.ID
				t.Revision++
				s.changed[toldKey(id)] = true
				was := *i
				was.ID = id
				emit(&Publication{Incident: &was, State: Ended, Severity: t.Severity, Revision: t.Revision, Into: i.ID, At: t.At})
				return
			}
		}
	}
}

// forget removes an ended incident, and those that it has taken in.
func (s *Set) forget(name string, a *account, i *Incident) {
	s.size -= len(i.Parts)
	for _, p := range i.Parts {
		delete(a.parts, p.ID)
		s.changed[partKey(name, p.ID)] = true
		if id := idOf(name, p.ID); a.told[id] != nil {
			delete(a.told, id)
			s.changed[toldKey(id)] = true
		}
	}
}

// rank orders severities.
func rank(severity string) int {
	return slices.Index([]string{"low", "medium", "high", "critical"}, severity)
}

// stateKind begins the state keys; those of others begin with other letters.
const stateKind = "g\n"

// IsStateKey reports whether a state key is that of an incident.
func IsStateKey(key string) bool { return strings.HasPrefix(key, stateKind) }

// The state keys: a part, and the publications of an incident.
func partKey(account, id string) string { return stateKind + "p\n" + account + "\n" + id }
func toldKey(id string) string          { return stateKind + "i\n" + id }

// Changes calls put for each piece of state that changed since the last call, with a nil
// value for one that is gone: the updates of a changelog.
func (s *Set) Changes(put func(key string, value []byte)) {
	told := map[string]*published{}
	for _, a := range s.accounts {
		for id, t := range a.told {
			told[toldKey(id)] = t
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		var v any
		if t, ok := told[key]; ok {
			v = t
		} else if name, id, ok := strings.Cut(strings.TrimPrefix(key, stateKind+"p\n"), "\n"); ok {
			if a := s.accounts[name]; a != nil && a.parts[id] != nil {
				v = a.parts[id]
			}
		}
		if v == nil {
			put(key, nil)
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			panic("BUG: cannot encode the state of an incident: " + err.Error()) // texts and finite numbers
		}
		put(key, b)
	}
	clear(s.changed)
}

// Restore takes what Changes once reported, the newest last. A damaged value is an error.
func (s *Set) Restore(key string, value []byte) (err error) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(key, stateKind), "\n")
	switch kind {
	case "p":
		name, id, _ := strings.Cut(rest, "\n")
		err = restore(s, name, value, func(a *account) map[string]*Part { return a.parts }, id)
	case "i":
		var t published
		name := ""
		if value == nil {
			name = s.accountOf(rest)
		} else if err = json.Unmarshal(value, &t); err == nil {
			name = t.Account
		}
		if err == nil {
			err = restore(s, name, value, func(a *account) map[string]*published { return a.told }, rest)
		}
	default:
		return fmt.Errorf("cannot restore incidents: unknown state %q", key)
	}
	if err != nil {
		return fmt.Errorf("cannot restore the state %q of incidents: %w", key, err)
	}
	return nil
}

// accountOf returns the account of an incident.
func (s *Set) accountOf(id string) string {
	for name, a := range s.accounts {
		if a.told[id] != nil {
			return name
		}
	}
	return ""
}

// restore puts a value into one of an account's maps, or removes it.
func restore[T any](s *Set, name string, value []byte, of func(*account) map[string]*T, id string) error {
	a := s.accounts[name]
	if value == nil {
		if a != nil {
			delete(of(a), id)
		}
		return nil
	}
	var v T
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	if a == nil {
		a = &account{parts: map[string]*Part{}, told: map[string]*published{}, touched: true}
		s.accounts[name] = a
	}
	of(a)[id] = &v
	return nil
}
