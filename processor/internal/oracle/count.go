package oracle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Result is the counts of a Judge. Received is Counted plus Duplicates plus Filtered plus
// Bad.
type Result struct {
	Rows       []Row // sorted by scope, key, principal and start
	Received   int   // records met
	Counted    int   // distinct calls
	Duplicates int   // further copies of a counted call
	Filtered   int   // records of other services and calls
	Bad        int   // records that are not events
}

// Row is the count of one entity in one window.
type Row struct {
	Scope     string // "key", "pair" or "principal"
	Key       string // "" in scope principal; "-" for calls without a KMS key
	Principal string // "" in scope key
	Start     time.Time
	Calls     int            // KMS calls, refused and failed ones too
	Denied    int            // refused KMS calls
	Failed    int            // KMS calls that failed for another cause
	Classes   map[string]int // by operation class; sums to Calls plus the changes of trails
	// Bound is what Key referred to at the window's end: an alias to its KMS key, a
	// multi-Region key to its primary; "" if unknown.
	Bound string
}

// copyOf is one copy of a call, with everything needed to count it.
type copyOf struct {
	rank           int
	time           time.Time
	eventID        string
	sum            uint32 // CRC-32C of the record's bytes
	keys           []string
	whole          bool // no other copy can show a further key
	shared         bool // by a sharedEventID
	principal      string
	class          string
	denied, failed bool
}

// better reports whether a takes precedence over b.
func better(a, b copyOf) bool {
	return cmp.Or(
		cmp.Compare(b.rank, a.rank),
		a.time.Compare(b.time),
		cmp.Compare(a.eventID, b.eventID),
		cmp.Compare(a.sum, b.sum),
	) < 0
}

// Judge collects records. New makes one. It is not safe for concurrent use.
type Judge struct {
	size  time.Duration
	calls map[string]copyOf   // the counted copy of each call
	more  map[string][]copyOf // all copies of the calls with two keys
	shown map[binding]bool    // by every copy of every call
	total Result              // without Rows
}

// New returns a Judge with windows of the given size: whole seconds, at least
// one.
func New(size time.Duration) (*Judge, error) {
	if size < time.Second || size%time.Second != 0 {
		return nil, fmt.Errorf("cannot count in windows of %v: the size must be whole seconds, at least 1s", size)
	}
	return &Judge{size: size, calls: map[string]copyOf{}, more: map[string][]copyOf{}, shown: map[binding]bool{}}, nil
}

// Count reads the files and directories and counts their calls in windows of the given
// size. An error comes without a result.
func Count(paths []string, size time.Duration) (*Result, error) {
	j, err := New(size)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := j.AddFile(path); err != nil {
			return nil, err
		}
	}
	return j.Result(), nil
}

// bad counts a record that is not an event.
func (j *Judge) bad() {
	j.total.Received++
	j.total.Bad++
}

// AddRecord adds one CloudTrail event, without any envelope. The bytes are not
// kept.
func (j *Judge) AddRecord(raw []byte) {
	raw = bytes.TrimSpace(raw)
	whole, ok := decode(raw)
	event, is := whole.(map[string]any)
	if !ok || !is || !utf8.Valid(raw) {
		j.bad()
		return
	}
	j.addEvent(event, raw)
}

// addEvent adds one decoded event with its bytes.
func (j *Judge) addEvent(event object, raw []byte) {
	if !inScope(event) {
		j.total.Received++
		j.total.Filtered++
		return
	}
	at, ok := timeOf(event)
	if !ok {
		j.bad()
		return
	}
	j.total.Received++
	for _, b := range bindingsOf(event, at.UTC()) {
		j.shown[b] = true
	}
	id, one := call(event, raw, at)
	kept, known := j.calls[id]
	if known {
		j.total.Duplicates++
	}
	if !known || better(one, kept) {
		j.calls[id] = one
	}
	if one.class == "reencrypt" {
		j.more[id] = append(j.more[id], one)
	}
}

// call returns the call's id and this copy of it.
func call(event object, raw []byte, at time.Time) (string, copyOf) {
	digest := sha256.Sum256(raw)
	one := copyOf{
		rank:      2,
		time:      at,
		eventID:   event.text("eventID"),
		sum:       crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)),
		keys:      keysOf(event),
		whole:     isWhole(event),
		principal: principalOf(event),
		class:     classOf(event),
	}
	one.denied, one.failed = outcomeOf(event)
	shared := event.text("sharedEventID")
	one.shared = shared != ""
	original := event.object("addendum").text("originalEventID")
	recipient, caller := event.text("recipientAccountId"), event.object("userIdentity").text("accountId")
	if shared != "" && recipient != "" && caller != "" && recipient != caller {
		one.rank = 1
	}
	if original != "" {
		one.rank = 0
	}
	return strings.ToLower(cmp.Or(shared, original, one.eventID, hex.EncodeToString(digest[:]))), one
}

// allKeys returns the keys that a call counts for: the first two key ARNs of all its
// copies, best copy first, and the counted copy's aliases without such a key.
func allKeys(counted copyOf, copies []copyOf) []string {
	if counted.class != "reencrypt" || counted.whole || counted.rank == 2 && !counted.shared {
		return counted.keys
	}
	copies = append([]copyOf{counted}, copies...)
	slices.SortStableFunc(copies[1:], func(a, b copyOf) int {
		if better(a, b) {
			return -1
		}
		if better(b, a) {
			return 1
		}
		return 0
	})
	var keys, aliases []string
	for _, one := range copies {
		for _, key := range one.keys {
			if isKey(key) && !slices.Contains(keys, key) && len(keys) < 2 {
				keys = append(keys, key)
			}
		}
	}
	for _, name := range counted.keys {
		if !isKey(name) {
			aliases = append(aliases, name)
		}
	}
	missing := max(len(counted.keys)-len(keys), 0)
	return append(keys, aliases[len(aliases)-min(missing, len(aliases)):]...)
}

// start returns the start of the window that contains t, in Unix seconds.
func (j *Judge) start(t time.Time) int64 {
	size, second := int64(j.size/time.Second), t.Unix()
	return second - ((second%size)+size)%size // rounds down also before 1970
}

// Result counts the records added so far. More may be added afterwards.
func (j *Judge) Result() *Result {
	type entity struct {
		scope, key, principal string
		start                 int64 // Unix seconds
	}
	rows := map[entity]*Row{}
	named := map[string]map[int64]bool{} // the windows with calls of each key
	for id, one := range j.calls {
		one.keys = allKeys(one, j.more[id])
		start := j.start(one.time)
		entities := []entity{{"principal", "", one.principal, start}}
		for _, key := range one.keys {
			entities = append(entities, entity{"key", key, "", start}, entity{"pair", key, one.principal, start})
			if named[key] == nil {
				named[key] = map[int64]bool{}
			}
			named[key][start] = true
		}
		for _, e := range entities {
			row := rows[e]
			if row == nil {
				row = &Row{Scope: e.scope, Key: e.key, Principal: e.principal, Start: time.Unix(e.start, 0).UTC(),
					Classes: map[string]int{}}
				rows[e] = row
			}
			row.Classes[one.class]++
			if one.class == "trail" {
				continue // not a KMS call
			}
			row.Calls++
			if one.denied {
				row.Denied++
			}
			if one.failed {
				row.Failed++
			}
		}
	}
	result := j.total
	result.Counted = len(j.calls)
	bound := meanings(j.shown, named, j.start)
	for e, row := range rows {
		row.Bound = bound[e.key][e.start]
		result.Rows = append(result.Rows, *row)
	}
	slices.SortFunc(result.Rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.Scope, b.Scope),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Principal, b.Principal),
			a.Start.Compare(b.Start),
		)
	})
	return &result
}
