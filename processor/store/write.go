package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// entity is a key, a principal or a pair; key and principal are ids of names.
type entity struct {
	scope          string
	key, principal int64
}

// batch holds the records of the next commit.
type batch struct {
	names     []named
	entities  []numbered
	windows   []windowRow
	anomalies []anomalyRow
	events    []event
	offsets   map[place]int64
	nextName  int64 // 0: not read yet
	nextEnt   int64
}

type named struct {
	id   int64
	text string
}

type numbered struct {
	id int64
	of entity
}

type place struct {
	topic     string
	partition int32
}

type windowRow struct {
	entity, size, start, revision, calls, denied, failed, anomalies int64
	final                                                           bool
	counters                                                        []byte
}

type anomalyRow struct {
	id, kind, state       string
	entity                int64
	of                    entity
	start, revision, made int64
	severity              int
	score                 float64
	rule                  bool
	record                []byte
	onKey, byPrincipal    int64 // entities of scope key and principal in which a pair's anomaly counts; 0: none
}

func (b *batch) reset() {
	*b = batch{names: b.names[:0], entities: b.entities[:0], windows: b.windows[:0], anomalies: b.anomalies[:0],
		events: b.events[:0], offsets: map[place]int64{}, nextName: b.nextName, nextEnt: b.nextEnt}
}

// Pending returns the number of records that the next commit stores.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.pending
	return len(b.windows) + len(b.anomalies) + len(b.events)
}

// Severities are the severities of anomalies by their number in the store, from 1.
var Severities = [...]string{"", "low", "medium", "high", "critical"}

// maxNames bounds the distinct names of a file: 1,000,000, or some 150 MB. Further ones are
// shown as OtherName.
const (
	maxNames  = 1_000_000
	OtherName = "(other)"
	maxCached = 200_000 // names, and entities, in memory
)

// ErrRecord means that a record lacks what a window or an anomaly needs.
var ErrRecord = errors.New("not a window or an anomaly")

// Add takes the record of a window or an anomaly, and ignores others; it copies what it
// keeps. The next commit stores it.
func (s *Store) Add(rec *otellog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch rec.EventName {
	case semconv.EventKeytrailWindow:
		return s.addWindow(rec)
	case semconv.EventKeytrailAnomaly:
		return s.addAnomaly(rec)
	}
	return nil
}

// Position notes the next offset to read of a partition. The next commit stores it.
func (s *Store) Position(topic string, partition int32, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending.offsets[place{topic, partition}] = next
}

func (s *Store) addWindow(rec *otellog.Record) error {
	start, end, err := span(rec)
	if err != nil {
		return err
	}
	_, id, err := s.subject(rec)
	if err != nil {
		return err
	}
	w := windowRow{entity: id, start: start, size: end - start, final: rec.Str(semconv.KeytrailWindowState) == "final"}
	for i := range rec.Attrs {
		a := &rec.Attrs[i]
		if a.Kind != otellog.KindInt {
			continue
		}
		switch a.Key {
		case semconv.KeytrailWindowRevision:
			w.revision = a.Int
		case semconv.KeytrailWindowCallsTotal:
			w.calls = a.Int
		case semconv.KeytrailWindowDenied:
			w.denied = a.Int
		case semconv.KeytrailWindowFailed:
			w.failed = a.Int
		case semconv.KeytrailWindowAnomaliesTotal:
			w.anomalies = a.Int
		default:
			if c, ok := counters[a.Key]; ok && a.Int > 0 {
				w.counters = binary.AppendUvarint(append(w.counters, byte(c)), uint64(a.Int))
			}
		}
	}
	s.pending.windows = append(s.pending.windows, w)
	return nil
}

// counters are the numbers of counters by their attributes.
var counters = func() map[string]wire.CounterID {
	m := map[string]wire.CounterID{}
	for c := range wire.NumCounters {
		m[c.Name()] = c
	}
	return m
}()

func (s *Store) addAnomaly(rec *otellog.Record) error {
	start, _, err := span(rec)
	if err != nil {
		return err
	}
	of, id, err := s.subject(rec)
	if err != nil {
		return err
	}
	a := anomalyRow{id: strings.Clone(rec.Str(semconv.KeytrailAnomalyID)),
		kind:  strings.Clone(rec.Str(semconv.KeytrailAnomalyKind)),
		state: strings.Clone(cmp.Or(rec.Str(semconv.KeytrailAnomalyState), "open")), entity: id, of: of, start: start,
		made: rec.Observed / int64(time.Millisecond), severity: max(slices.Index(Severities[:],
			rec.Str(semconv.KeytrailAnomalySeverity)), 0)}
	if a.id == "" {
		return fmt.Errorf("%w: an anomaly has no id", ErrRecord)
	}
	a.rule = a.kind == "rule" || a.kind == "blind_spot"
	if n := rec.Get(semconv.KeytrailAnomalyRevision); n != nil {
		a.revision = n.Int
	}
	if n := rec.Get(semconv.KeytrailAnomalyScore); n != nil {
		a.score = n.Num + float64(n.Int)
	}
	if of.scope == "pair" { // it counts in the windows of both
		if a.onKey, err = s.entity(entity{"key", of.key, s.none()}); err != nil {
			return err
		}
		if a.byPrincipal, err = s.entity(entity{"principal", s.none(), of.principal}); err != nil {
			return err
		}
	}
	a.record = otellog.AppendRequest(nil, rec)
	s.pending.anomalies = append(s.pending.anomalies, a)
	return nil
}

// span returns a record's window in seconds since 1970.
func span(rec *otellog.Record) (start, end int64, err error) {
	for name, to := range map[string]*int64{semconv.KeytrailWindowStart: &start, semconv.KeytrailWindowEnd: &end} {
		t, err := time.Parse(time.RFC3339, rec.Str(name))
		if err != nil {
			return 0, 0, fmt.Errorf("%w: %s is %q, not a time in RFC 3339 form", ErrRecord, name, rec.Str(name))
		}
		*to = t.Unix()
	}
	if end <= start {
		return 0, 0, fmt.Errorf("%w: its window ends at %q, not after its start", ErrRecord,
			rec.Str(semconv.KeytrailWindowEnd))
	}
	return start, end, nil
}

// subject returns the entity of a record, and its id.
func (s *Store) subject(rec *otellog.Record) (of entity, id int64, err error) {
	e := EntityOf(rec)
	of.scope = strings.Clone(e.Scope)
	if of.key, err = s.name(e.Key); err == nil {
		of.principal, err = s.name(e.Principal)
	}
	if err == nil {
		id, err = s.entity(of)
	}
	return of, id, err
}

// none returns the id of the empty name.
func (s *Store) none() int64 {
	id, _ := s.name("") // in memory, or its error comes again with the next name
	return id
}

// name returns the id of a name, and gives it one if it is new. s.mu is held.
func (s *Store) name(text string) (int64, error) {
	if id, ok := s.names[text]; ok {
		return id, nil
	}
	b := &s.pending
	if err := s.numbers(); err != nil {
		return 0, err
	}
	var id int64
	err := s.write.QueryRow(sqlNameID, text).Scan(&id)
	switch {
	case err == nil:
	case !errors.Is(err, sql.ErrNoRows):
		return 0, err
	case b.nextName > maxNames && text != OtherName:
		return s.name(OtherName)
	default:
		id = b.nextName
		b.nextName++
		b.names = append(b.names, named{id, strings.Clone(text)})
	}
	if len(s.names) >= maxCached && len(b.names) == 0 {
		clear(s.names)
	}
	s.names[strings.Clone(text)] = id
	return id, nil
}

// entity returns the id of an entity, and gives it one if it is new. s.mu is held.
func (s *Store) entity(e entity) (int64, error) {
	if id, ok := s.known[e]; ok {
		return id, nil
	}
	b := &s.pending
	var id int64
	err := s.write.QueryRow(`SELECT id FROM entities WHERE scope = ? AND key = ? AND principal = ?`, e.scope, e.key,
		e.principal).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		id, err = b.nextEnt, nil
		b.nextEnt++
		b.entities = append(b.entities, numbered{id, e})
	}
	if err != nil {
		return 0, err
	}
	if len(s.known) >= maxCached && len(b.entities) == 0 {
		clear(s.known)
	}
	s.known[e] = id
	return id, nil
}

// numbers reads the next ids from the file. s.mu is held.
func (s *Store) numbers() error {
	b := &s.pending
	if b.nextName > 0 {
		return nil
	}
	return s.write.QueryRow(`SELECT IFNULL((SELECT MAX(id) FROM names), 0) + 1, IFNULL((SELECT MAX(id) FROM entities),
		0) + 1`).
		Scan(&b.nextName, &b.nextEnt)
}

// Forget drops what was added since the last commit.
func (s *Store) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
}

// forget empties the batch: its names and entities got ids that are not in the file.
func (s *Store) forget() {
	if len(s.pending.names)+len(s.pending.entities) > 0 {
		clear(s.names)
		clear(s.known)
		s.pending.nextName, s.pending.nextEnt = 0, 0
	}
	s.pending.reset()
}

// Commit stores what was added, and the positions behind it, in one transaction. After an
// error nothing of it is stored, and the caller begins again at the stored positions.
func (s *Store) Commit(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.pending
	if len(b.windows)+len(b.anomalies)+len(b.events)+len(b.offsets) == 0 {
		return nil
	}
	news := len(b.windows)+len(b.anomalies)+len(b.events) > 0
	err := s.store(ctx)
	if err != nil {
		s.forget()
		return fmt.Errorf("cannot write the page's history %q: %w", s.path, err)
	}
	b.reset()
	if err := s.prune(ctx); err != nil {
		return fmt.Errorf("cannot write the page's history %q: %w", s.path, err)
	}
	if news {
		s.commits++
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return nil
}

// store writes the batch. s.mu is held.
func (s *Store) store(ctx context.Context) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing after a commit
	w := writer{ctx: ctx, tx: tx, prepared: map[string]*sql.Stmt{}, marks: map[int64][]byte{}}
	b := &s.pending
	for _, n := range b.names {
		w.exec(`INSERT INTO names(id, text) VALUES(?, ?)`, n.id, n.text)
	}
	for _, e := range b.entities {
		w.exec(`INSERT INTO entities(id, scope, key, principal) VALUES(?, ?, ?, ?)`, e.id, e.of.scope, e.of.key,
			e.of.principal)
	}
	for i := range b.windows {
		w.window(&b.windows[i])
	}
	for i := range b.anomalies {
		w.anomaly(&b.anomalies[i])
	}
	w.storeMarks()
	w.events(b.events)
	for p, next := range b.offsets {
		w.exec(`INSERT OR REPLACE INTO offsets(topic, partition, next) VALUES(?, ?, ?)`, p.topic, p.partition, next)
	}
	if w.err != nil {
		return w.err
	}
	return tx.Commit()
}

// EntityOf returns the entity of a window's or an anomaly's record: an alias is its own
// entity. The strings are the record's.
func EntityOf(rec *otellog.Record) Entity {
	e := Entity{Scope: rec.Str(semconv.KeytrailWindowScope)}
	if e.Scope != "principal" {
		e.Key = cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
	}
	if e.Scope != "key" {
		e.Principal = rec.Str(semconv.KeytrailPrincipalID)
	}
	return e
}
