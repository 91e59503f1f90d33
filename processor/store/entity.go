package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"

	"keytrail/schemas/wire"
)

// Point is one window of a series.
type Point struct {
	Start     int64 `json:"t"`
	Calls     int64 `json:"calls"`
	Denied    int64 `json:"denied"`
	Failed    int64 `json:"failed"`
	Anomalies int64 `json:"anomalies,omitempty"`
	Open      bool  `json:"open,omitempty"`

	counters []byte
}

// Windows returns the windows of an entity of one length that start in [from, until).
func (s *Store) Windows(ctx context.Context, entity, size, from, until int64) ([]Point, error) {
	list := []Point{}
	err := s.each(ctx, sqlWindows, []any{entity, size, from, until}, func(scan func(...any) error) error {
		var p Point
		var revision int64
		var final bool
		err := scan(&p.Start, &revision, &final, &p.Calls, &p.Denied, &p.Failed, &p.Anomalies, &p.counters)
		p.Open = !final
		list = append(list, p)
		return err
	})
	return list, err
}

// Sums adds up the counters of windows, by the names of their attributes.
func Sums(list []Point) map[string]int64 {
	sums := map[string]int64{}
	for _, p := range list {
		for b := p.counters; len(b) > 1; {
			v, n := binary.Uvarint(b[1:])
			if n <= 0 || b[0] >= byte(wire.NumCounters) {
				break
			}
			sums[wire.CounterID(b[0]).Name()] += int64(v)
			b = b[1+n:]
		}
	}
	return sums
}

// EntityID returns the number of an entity in this file, or ErrNone.
func (s *Store) EntityID(ctx context.Context, e Entity) (id int64, err error) {
	err = s.read.QueryRowContext(ctx, sqlEntityID, e.Scope, e.Key, e.Principal).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return id, err
}

// Ends returns the starts of an entity's first and last window of a length; 0 without any.
func (s *Store) Ends(ctx context.Context, entity, size int64) (first, last int64, err error) {
	var f, l sql.NullInt64
	err = s.read.QueryRowContext(ctx, sqlEnds, entity, size).Scan(&f, &l)
	return f.Int64, l.Int64, err
}

// Peer is one counterpart of a key or principal.
type Peer struct {
	Name   string `json:"name"`
	Calls  int64  `json:"calls"`
	Denied int64  `json:"denied"`
	Failed int64  `json:"failed"`
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
}

// maxPeers bounds the counterparts that are added up.
const maxPeers = 1000

// Peers returns the counterparts of a key or a principal in a period, the busiest first, and
// whether there may be more than were added up.
func (s *Store) Peers(ctx context.Context, e Entity, size, from, until int64) (list []Peer, more bool, err error) {
	query, name := sqlPeersOfKey, e.Key
	if e.Scope == "principal" {
		query, name = sqlPeersOfPrincipal, e.Principal
	}
	ids, err := s.ids(ctx, sqlNameID, name)
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	pairs := map[int64]string{}
	err = s.each(ctx, query, []any{ids[0], maxPeers}, func(scan func(...any) error) error {
		var id int64
		var name string
		err := scan(&id, &name)
		pairs[id] = name
		return err
	})
	for id, name := range pairs {
		var calls, denied, failed, first, last sql.NullInt64
		if err == nil {
			err = s.read.QueryRowContext(ctx, sqlSum, id, size, from, until).Scan(&calls, &denied, &failed, &first, &last)
		}
		if calls.Int64 > 0 {
			list = append(list, Peer{name, calls.Int64, denied.Int64, failed.Int64, first.Int64, last.Int64})
		}
	}
	slices.SortFunc(list, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name,
			b.Name))
	})
	return list, len(pairs) == maxPeers, err
}

// OfEntity returns the anomalies in an entity's windows, the newest first.
func (s *Store) OfEntity(ctx context.Context, e Entity, from, until int64, limit int) ([]Listed, error) {
	id := func(name string) (int64, error) {
		ids, err := s.ids(ctx, sqlNameID, name)
		if len(ids) == 0 {
			return -1, err
		}
		return ids[0], err
	}
	key, err := id(e.Key)
	principal, perr := id(e.Principal)
	if err = errors.Join(err, perr); err != nil {
		return nil, err
	}
	switch e.Scope {
	case "key":
		return s.listed(ctx, sqlOfKey, key, from, until, limit)
	case "principal":
		return s.listed(ctx, sqlOfPrincipal, principal, from, until, limit)
	}
	return s.listed(ctx, sqlOfPair, key, from, until, limit, principal)
}
