package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// event is one row of the index. Except time, call and the place its fields are ids of
// names; 0 stands for none. Encoded it has some 25 bytes.
type event struct {
	time                                                           int64 // ms since 1970
	call                                                           uint32
	key, principal, operation, outcome, err, address, context, via int64
	object, offset                                                 int64
}

// Place is where an event can be read again: in a scan the number of the object and of the
// record in it, in Kafka the partition and the offset.
type Place struct {
	Object int64 `json:"object"`
	Offset int64 `json:"offset"`
}

// AddEvent takes the record of a call and its place. The next commit stores it.
func (s *Store) AddEvent(rec *otellog.Record, at Place) (err error) {
	_, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	e := event{time: rec.Time / 1e6, call: callHash(rec.Str(semconv.KeytrailCallID)), object: at.Object, offset: at.Offset}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range [...]struct {
		to   *int64
		text string
	}{
		{&e.key, cmp.Or(rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.AWSKMSAliasARN))},
		{&e.principal, rec.Str(semconv.KeytrailPrincipalID)}, {&e.operation, operation},
		{&e.outcome, rec.Str(semconv.KeytrailOutcome)}, {&e.err, rec.Str(semconv.ErrorType)},
		{&e.address, rec.Str(semconv.ClientAddress)}, {&e.context, rec.Str(semconv.KeytrailContextClass)},
		{&e.via, rec.Str(semconv.AWSSourceService)},
	} {
		if f.text == "" {
			continue
		}
		if *f.to, err = s.name(f.text); err != nil {
			return err
		}
	}
	s.pending.events = append(s.pending.events, e)
	return nil
}

func callHash(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()
}

// segmentRows is the number of events of a full segment, of some 100 kB.
const segmentRows = 4096

// events appends events to the last segment until it is full, and to new ones.
func (w *writer) events(list []event) {
	for len(list) > 0 && w.err == nil {
		var n, count, first, last int64
		var data []byte
		if !w.get(`SELECT n, count, first, last, data FROM events ORDER BY n DESC LIMIT 1`, nil, &n, &count, &first, &last,
			&data) ||
			count >= segmentRows {
			n, count, first, last, data = n+1, 0, math.MaxInt64, 0, nil
		}
		take := list[:min(int64(len(list)), segmentRows-count)]
		list = list[len(take):]
		for i := range take {
			data = take[i].append(data)
			first, last = min(first, take[i].time), max(last, take[i].time)
		}
		w.exec(`INSERT OR REPLACE INTO events(n, first, last, count, data) VALUES(?, ?, ?, ?, ?)`, n, first, last,
			count+int64(len(take)), data)
	}
}

// fields are the numbers of an event in the order of their encoding.
func (e *event) fields() [11]*int64 {
	return [...]*int64{&e.time, &e.key, &e.principal, &e.operation, &e.outcome, &e.err, &e.address, &e.context, &e.via,
		&e.object, &e.offset}
}

func (e *event) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, e.call)
	for _, f := range e.fields() {
		dst = binary.AppendVarint(dst, *f)
	}
	return dst
}

// next decodes the first event of data and returns the rest; nil if data is damaged.
func (e *event) next(data []byte) []byte {
	if len(data) < 4 {
		return nil
	}
	e.call = binary.LittleEndian.Uint32(data)
	data = data[4:]
	for _, f := range e.fields() {
		v, n := binary.Varint(data)
		if n <= 0 {
			return nil
		}
		*f, data = v, data[n:]
	}
	return data
}

// Event is one event as the index has it.
type Event struct {
	Time      int64  `json:"time_ms"`
	Key       string `json:"key,omitempty"`
	Principal string `json:"principal,omitempty"`
	Operation string `json:"operation,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Error     string `json:"error,omitempty"`
	Address   string `json:"address,omitempty"`
	Service   string `json:"service,omitempty"`
	Context   string `json:"context,omitempty"`
	Place     Place  `json:"place"`
}

// Search describes wanted events. Texts that are not "" must be equal, Text occurs in any.
type Search struct {
	From, Until int64 // ms since 1970; the end is exclusive
	Key, Principal, Operation, Outcome, Error, Address, Context,
	Text string
	Call  string // id of a call; the index has a hash of it, so others may be found too
	Limit int    // results, at least 1
	Scan  int64  // rows that are looked at, at least 1
}

// Found is the result of a Search, the newest events first.
type Found struct {
	Events  []Event `json:"events"`
	Scanned int64   `json:"scanned"` // events that were looked at
	Total   int64   `json:"total"`   // events in the period's part of the index
	Matched int64   `json:"matched"` // of those scanned
	Stopped bool    `json:"stopped"` // the bound on the scan was reached before the end
}

// Events searches the index.
func (s *Store) Events(ctx context.Context, q Search) (found Found, err error) {
	found.Events = []Event{}
	m, ok, err := s.matcher(ctx, &q)
	if err != nil {
		return found, err
	}
	type segment struct{ n, count int64 }
	var segments []segment
	err = s.each(ctx, sqlSegments, []any{q.From, q.Until}, func(scan func(...any) error) error {
		var g segment
		err := scan(&g.n, &g.count)
		segments, found.Total = append(segments, g), found.Total+g.count
		return err
	})
	var kept []event
	for _, g := range segments {
		if !ok || err != nil {
			break // a wanted name does not exist
		}
		if found.Scanned >= q.Scan {
			found.Stopped = true
			break
		}
		var data []byte
		if err = s.read.QueryRowContext(ctx, sqlSegment, g.n).Scan(&data); err != nil {
			break
		}
		var e event
		for data = e.next(data); data != nil; data = e.next(data) {
			if m.wants(&e) {
				found.Matched++
				kept = append(kept, e)
			}
			if len(data) == 0 {
				break
			}
		}
		found.Scanned += g.count
		if len(kept) > 8*q.Limit+segmentRows {
			kept = newest(kept, q.Limit)
		}
	}
	if err != nil {
		return found, err
	}
	for _, e := range newest(kept, q.Limit) {
		shown, err := s.event(ctx, &e)
		if err != nil {
			return found, err
		}
		found.Events = append(found.Events, shown)
	}
	return found, nil
}

// newest returns the newest events, in order.
func newest(list []event, limit int) []event {
	slices.SortFunc(list, func(a, b event) int {
		return cmp.Or(cmp.Compare(b.time, a.time), cmp.Compare(a.object, b.object), cmp.Compare(a.offset, b.offset))
	})
	return list[:min(len(list), limit)]
}

// matcher holds the ids of the wanted names.
type matcher struct {
	q     *Search
	want  [7]int64 // 0: any
	call  uint32
	texts map[int64]bool // nil: any
}

// maxTexts bounds the names that a search for a text may match.
const maxTexts = 10_000

// matcher returns the matcher of a search; ok is false if nothing can match.
func (s *Store) matcher(ctx context.Context, q *Search) (m matcher, ok bool, err error) {
	m.q, m.call = q, callHash(q.Call)
	for i, text := range [...]string{q.Key, q.Principal, q.Operation, q.Outcome, q.Error, q.Address, q.Context} {
		if text == "" {
			continue
		}
		ids, err := s.ids(ctx, sqlNameID, text)
		if len(ids) == 0 {
			return m, false, err
		}
		m.want[i] = ids[0]
	}
	if q.Text != "" {
		ids, err := s.ids(ctx, sqlNamesWith, q.Text, maxTexts)
		if len(ids) == 0 {
			return m, false, err
		}
		m.texts = make(map[int64]bool, len(ids))
		for _, id := range ids {
			m.texts[id] = true
		}
	}
	return m, true, nil
}

// ids returns the ids that a query finds.
func (s *Store) ids(ctx context.Context, query string, args ...any) (list []int64, err error) {
	err = s.each(ctx, query, args, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		list = append(list, id)
		return err
	})
	return list, err
}

func (m *matcher) wants(e *event) bool {
	if e.time < m.q.From || e.time >= m.q.Until || m.q.Call != "" && e.call != m.call {
		return false
	}
	fields := [...]int64{e.key, e.principal, e.operation, e.outcome, e.err, e.address, e.context}
	for i, id := range m.want {
		if id != 0 && fields[i] != id {
			return false
		}
	}
	if m.texts == nil {
		return true
	}
	for _, id := range fields {
		if id != 0 && m.texts[id] {
			return true
		}
	}
	return m.texts[e.via]
}

// event returns an event with its names.
func (s *Store) event(ctx context.Context, e *event) (Event, error) {
	v := Event{Time: e.time, Place: Place{e.object, e.offset}}
	for _, f := range [...]struct {
		to *string
		id int64
	}{
		{&v.Key, e.key}, {&v.Principal, e.principal}, {&v.Operation, e.operation}, {&v.Outcome, e.outcome}, {&v.Error, e.err},
		{&v.Address, e.address}, {&v.Context, e.context}, {&v.Service, e.via},
	} {
		if f.id == 0 {
			continue
		}
		if err := s.read.QueryRowContext(ctx, sqlName, f.id).Scan(f.to); err != nil {
			return v, err
		}
	}
	return v, nil
}
