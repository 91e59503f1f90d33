package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"slices"

	"keytrail/schemas/otellog"
)

// each calls f for every row of a query of readers.
func (s *Store) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Extent is the time that the store has windows of, in seconds since 1970, and the length
// of the shortest windows. Size is 0 while there are none.
type Extent struct {
	Size  int64 `json:"window_seconds"`
	First int64 `json:"first"`
	Until int64 `json:"until"` // the end of the last window
}

// Extent returns the extent of the windows.
func (s *Store) Extent(ctx context.Context) (e Extent, err error) {
	var size, first, last sql.NullInt64
	if err := s.read.QueryRowContext(ctx, sqlExtent).Scan(&size, &first, &last); err != nil {
		return e, err
	}
	return Extent{Size: size.Int64, First: first.Int64, Until: last.Int64 + size.Int64}, nil
}

// Entity is a KMS key, a principal or a pair.
type Entity struct {
	Scope     string `json:"scope"`
	Key       string `json:"key,omitempty"`
	Principal string `json:"principal,omitempty"`
}

// View describes an overview: rows of one scope, and columns of Bucket seconds.
type View struct {
	Scope        string
	From, Until  int64 // seconds since 1970; the end is exclusive
	Bucket       int64
	Rows, Newest int    // largest numbers
	Text         string // occurs in the name of a row's entity; "" for any
}

// Cell is what one row has in one column.
type Cell struct {
	Column    int64   `json:"c"`
	Score     float64 `json:"s"`           // the largest of anomalies of detectors; 0 without any
	Rules     int64   `json:"r,omitempty"` // hits of rules
	Severity  int     `json:"v"`           // the largest, an index into Severities
	Anomalies int64   `json:"n"`
}

// Row is the line of one entity.
type Row struct {
	Entity
	Score     float64 `json:"score"`
	Rules     int64   `json:"rules"`
	Severity  int     `json:"severity"`
	Anomalies int64   `json:"anomalies"`
	Cells     []Cell  `json:"cells"`

	id int64 // of the entity
}

// Facet counts the anomalies of one severity, kind and state.
type Facet struct {
	Severity string `json:"severity"`
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Count    int64  `json:"count"`
}

// Overview is a View's content. Rows are in order of severity and score; Others adds up the
// entities without a row. Calls has the calls of each column in which anything was recorded:
// the others are gaps.
type Overview struct {
	Rows   []Row           `json:"rows"`
	Others Row             `json:"others"`
	Hidden int             `json:"hidden"` // entities in Others
	Calls  map[int64]int64 `json:"-"`
	Facets []Facet         `json:"facets"`
}

// Recorded returns the calls of all entities by column, for the columns in which anything
// was recorded. Times are in Unix seconds; a column has bucket seconds.
func (s *Store) Recorded(ctx context.Context, from, until, bucket int64) (map[int64]int64, error) {
	extent, err := s.Extent(ctx)
	if err != nil {
		return nil, err
	}
	by := map[int64]int64{}
	err = s.each(ctx, sqlTicks, []any{extent.Size, from, until, bucket}, func(scan func(...any) error) error {
		var column, calls int64
		err := scan(&column, &calls)
		by[column] = calls
		return err
	})
	return by, err
}

// Overview returns the content of a view.
func (s *Store) Overview(ctx context.Context, v View) (o Overview, err error) {
	o = Overview{Rows: []Row{}, Facets: []Facet{}}
	if o.Calls, err = s.Recorded(ctx, v.From, v.Until, v.Bucket); err != nil {
		return o, err
	}
	rows, facets, err := s.rows(ctx, &v)
	if err != nil {
		return o, err
	}
	o.Facets = facets
	return o, s.top(ctx, &v, rows, &o)
}

// top moves the first rows to o.Rows and adds up the rest.
func (s *Store) top(ctx context.Context, v *View, rows map[int64]*Row, o *Overview) error {
	if v.Text != "" {
		if err := s.named(ctx, v, rows); err != nil {
			return err
		}
	}
	for _, r := range first(rows, v.Rows) {
		if err := s.read.QueryRowContext(ctx, sqlEntity, r.id).Scan(&r.Scope, &r.Key, &r.Principal); err != nil {
			return err
		}
		o.Rows = append(o.Rows, *r)
		delete(rows, r.id)
	}
	o.Hidden, o.Others.Cells = len(rows), []Cell{}
	columns := map[int64]*Cell{}
	for _, r := range rows {
		for _, c := range r.Cells {
			at := columns[c.Column]
			if at == nil {
				at = &Cell{Column: c.Column}
				columns[c.Column] = at
			}
			at.add(c)
		}
	}
	for _, c := range columns {
		o.Others.Cells = append(o.Others.Cells, *c)
		o.Others.sum(*c)
	}
	slices.SortFunc(o.Others.Cells, func(a, b Cell) int { return cmp.Compare(a.Column, b.Column) })
	return nil
}

// named removes the rows whose names do not have the view's text.
func (s *Store) named(ctx context.Context, v *View, rows map[int64]*Row) error {
	list, err := s.ids(ctx, sqlEntitiesWith, v.Text, v.Scope)
	if err != nil {
		return err
	}
	wanted := make(map[int64]bool, len(list))
	for _, id := range list {
		wanted[id] = true
	}
	maps.DeleteFunc(rows, func(id int64, _ *Row) bool { return !wanted[id] })
	return nil
}

// Selection chooses anomalies. The zero value of a field admits all.
type Selection struct {
	From, Until   int64 // seconds since 1970; the end is exclusive
	Severity      int   // the least
	Kind          string
	Before, After int64 // paging: the start and number of the last one shown; 0: from the newest
	Limit         int
}

// Listed is one anomaly of a list.
type Listed struct {
	Number int64 // for paging
	Record *otellog.Record
}

// Anomalies returns anomalies, the newest first.
func (s *Store) Anomalies(ctx context.Context, q Selection) ([]Listed, error) {
	if q.Before == 0 {
		q.Before = math.MaxInt64
	}
	return s.listed(ctx, sqlNewest, q.From, q.Until, q.Severity, q.Kind, q.Before, q.After, q.Limit)
}

// listed returns the anomalies of a query.
func (s *Store) listed(ctx context.Context, query string, args ...any) (list []Listed, err error) {
	err = s.each(ctx, query, args, func(scan func(...any) error) error {
		var data []byte
		l := Listed{Record: &otellog.Record{}}
		if err := scan(&l.Number, &data); err != nil {
			return err
		}
		list = append(list, l)
		return l.Record.Decode(data)
	})
	return list, err
}

// Anomaly is one anomaly with the anomalies of the same key and principal around it.
type Anomaly struct {
	Record      *otellog.Record
	Entity      int64
	OfKey       []Listed
	OfPrincipal []Listed
}

// ErrNone means that the store does not have something.
var ErrNone = errors.New("not in the history")

// around is how far the neighbours of an anomaly are away, in seconds: a day.
const around = 24 * 3600

// Anomaly returns an anomaly by its id, or ErrNone.
func (s *Store) Anomaly(ctx context.Context, id string) (a Anomaly, err error) {
	var n, key, principal, start int64
	var data []byte
	err = s.read.QueryRowContext(ctx, sqlAnomaly, id).Scan(&n, &a.Entity, &key, &principal, &start, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return a, ErrNone
	}
	if err != nil {
		return a, err
	}
	a.Record = &otellog.Record{}
	if err = a.Record.Decode(data); err != nil {
		return a, err
	}
	none, err := s.ids(ctx, sqlNameID, "")
	if err != nil {
		return a, err
	}
	others := func(query string, of int64) (list []Listed, err error) {
		if slices.Contains(none, of) {
			return nil, nil
		}
		list, err = s.listed(ctx, query, of, start-around, start+around, 50)
		return slices.DeleteFunc(list, func(l Listed) bool { return l.Number == n }), err
	}
	if a.OfKey, err = others(sqlOfKey, key); err == nil {
		a.OfPrincipal, err = others(sqlOfPrincipal, principal)
	}
	return a, err
}
