package keyledger

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// This file contains what stage detect needs besides the ledger itself: which keys have
// news to publish, and which alarms begin and end with events or with time.

// watched is what stage detect notes on a key.
type watched struct {
	published uint32 // the hour of its last publication, since 1970
	owed      bool   // it has changed since then
	raised    []raised
}

// raised is an open alarm.
type raised struct {
	kind  uint8 // of kinds
	since int64
}

// watching is the part of a Ledger that Watch turns on.
type watching struct {
	dirty       map[string]changed // since the last Changes
	dirtyStores map[string]bool
	fresh       map[string]bool     // keys that Advance has to look at, and whether their life cycle changed
	moving      bool                // aliases may have moved
	base        int64               // Marks.Due counts the hours from here; 0 before the first Advance
	hour        int64               // of the last Advance that has looked at all due keys
	next        int                 // the slot at which Advance continues
	alarms      [len(kinds)]int     // open ones, by kind
	alarming    map[string][]raised // keys with open alarms
}

// Watch makes the ledger note what changes, for Changes and Advance. The caller calls both
// after each batch of Merge.
func (l *Ledger) Watch() {
	l.dirty, l.dirtyStores, l.fresh, l.moving = map[string]changed{}, map[string]bool{}, map[string]bool{}, true
	l.alarming = map[string][]raised{}
}

// News is what Advance has found about a key.
type News struct {
	Key    *Key
	State  string // as Key.State returns it
	Record bool   // the state is to be published
	// Opened and Ended are alarms. Of ended ones, Text is "".
	Opened, Ended []Alarm
}

const hour = 3600

// Advance calls f for each key with news at a time, in s since 1970, which never goes back.
// It looks at the keys that have changed and, when an hour has passed, at those whose
// deadlines have. A changed life cycle is published at once, uses once an hour. aliases lets
// it look for moved aliases, which takes some microseconds per key of the ledger. After most
// keys it stops, and more reports that others remain. News are valid during the call.
func (l *Ledger) Advance(now int64, d *Deadlines, aliases bool, most *int, f func(*News)) (more bool) {
	l.base = cmp.Or(l.base, now/hour)
	l.Pack() // every key has a slot
	if l.moving && aliases && l.next == 0 && now/hour > l.hour {
		l.moveAliases()
	}
	for _, name := range slices.Sorted(maps.Keys(l.fresh)) {
		if *most <= 0 {
			return true
		}
		life := l.fresh[name]
		delete(l.fresh, name)
		l.look(name, now, life, d, most, f)
	}
	if now/hour <= l.hour {
		return false
	}
	for ; l.next < l.keys.Slots(); l.next++ {
		if *most <= 0 {
			return true
		}
		if i := uint32(l.next); l.base+int64(l.keys.Marks(i).Due) <= now/hour {
			l.look(l.keys.Name(i).Key, now, false, d, most, f)
		}
	}
	l.next, l.hour = 0, now/hour
	return false
}

// look looks at one key.
func (l *Ledger) look(name string, now int64, life bool, d *Deadlines, most *int, f func(*News)) {
	list := l.Find(name).Alarms(now, d, l.Find)
	k := l.Find(name) // the search for another key may have packed this one
	n, due := News{Key: k}, k.next(now, d)
	if l.compare(k, list, d, &n) > 0 {
		due = min(due, now/hour+24)
	}
	news := len(n.Opened)+len(n.Ended) > 0
	if n.Record = news || k.owed && (life || now/hour > int64(k.published)); n.Record {
		k.published, k.owed, k.stale = uint32(now/hour), false, true
		l.dirty[name] = l.dirty[name].and(changed{uses: true})
		n.State = k.State(now, l.StoreOf(k))
		*most--
		f(&n)
	}
	if k.owed {
		due = now/hour + 1
	}
	l.keys.Marks(k.slot).Due = uint16(min(max(due-l.base, 0), math.MaxUint16))
}

// compare finds which alarms have begun and ended. It returns how many it withholds.
func (l *Ledger) compare(k *Key, list []Alarm, d *Deadlines, n *News) (withheld int) {
	was := k.raised
	l.raise(k, -1)
	k.raised = nil
	for _, r := range was {
		if slices.ContainsFunc(list, r.is) {
			k.raised = append(k.raised, r)
		} else {
			n.Ended = append(n.Ended, Alarm{Kind: kinds[r.kind], Since: r.since})
		}
	}
	for i := range list {
		a := &list[i]
		kind := slices.Index(kinds[:], a.Kind)
		switch {
		case !slices.Contains(d.Alarms, a.Kind):
		case slices.ContainsFunc(k.raised, func(r raised) bool { return r.is(*a) }):
		case l.alarms[kind] >= d.MaxAlarms:
			withheld++
		default:
			k.raised = append(k.raised, raised{uint8(kind), a.Since})
			n.Opened = append(n.Opened, *a)
		}
	}
	l.raise(k, 1)
	return withheld
}

// is reports whether r is about the same as an alarm. While an alarm of a kind is open,
// another one continues it; each moved alias is its own.
func (r raised) is(a Alarm) bool {
	return kinds[r.kind] == a.Kind && (a.Kind != aliasMoved || r.since == a.Since)
}

// raise counts the open alarms of a key, or with -1 takes them away.
func (l *Ledger) raise(k *Key, sign int) {
	for _, r := range k.raised {
		l.alarms[r.kind] += sign
	}
	if delete(l.alarming, k.Name); sign > 0 && len(k.raised) > 0 {
		l.alarming[k.Name] = k.raised
	}
}

// OpenAlarms calls f for each open alarm, whose Text is "".
func (l *Ledger) OpenAlarms(d *Deadlines, f func(key string, a Alarm)) {
	for _, name := range slices.Sorted(maps.Keys(l.alarming)) {
		for _, r := range l.alarming[name] {
			f(name, Alarm{Kind: kinds[r.kind], At: r.since - d.wait(kinds[r.kind]), Since: r.since})
		}
	}
}

// next returns the hour, since 1970, at which time alone changes the alarms or the state of
// the key.
func (k *Key) next(now int64, d *Deadlines) int64 {
	at := int64(math.MaxInt64)
	soon := func(from int64, span time.Duration) {
		if t := from + int64(span/time.Second); from != 0 && t > now {
			at = min(at, t)
		}
	}
	material, due := k.Facts[Material].Until, k.RotationDue()
	soon(material, -d.Expiry)
	soon(material, 0)
	soon(due, d.Overdue)
	soon(k.Facts[Deletion].Until, -d.Deletion)
	soon(k.Facts[Unusable].At, d.Recent)
	soon(max(k.Facts[Used].At, k.Facts[Created].At), d.Unused)
	for i := range k.Aliases {
		soon(k.Aliases[i].Moved, d.Recent)
	}
	for i := range k.Grants {
		if g := &k.Grants[i]; g.Open() {
			soon(g.Opened, d.Grant)
		}
	}
	if p := k.Facts[Primary].Value; p != "" && p != k.Name && cloud.Form(k.Name) == kms.FormMultiRegion {
		soon(now, hour*time.Second) // it depends on another key
	}
	if at == math.MaxInt64 {
		return at
	}
	return at/hour + 1
}

// moveAliases computes which aliases have moved, and renews the keys of custom key stores.
func (l *Ledger) moveAliases() {
	l.moving = false
	slots := l.slots()
	newest, shared := l.moved(slots, func(k *Key) {
		if k.Facts[Store].Value != "" {
			l.touch(k, changed{life: true})
		}
	})
	for _, i := range shared {
		if k := l.get(i); l.move(k, i, newest) {
			k.stale = true
			l.touch(k, changed{facts: true, life: true})
		}
	}
	l.moving = false // touch has set it again
	l.Pack()
}

// move sets which aliases of a key have moved, and reports whether that changed the key.
func (l *Ledger) move(k *Key, i uint32, newest map[uint64]pointed) (changed bool) {
	for j := range k.Aliases {
		a, moved := &k.Aliases[j], int64(0)
		if n, ok := newest[wire.EntityHash(a.Name)]; ok && n.of != i && !a.Removed && n.at >= a.At {
			moved = n.at
		}
		changed = changed || a.Moved != moved
		a.Moved = moved
	}
	return changed
}
