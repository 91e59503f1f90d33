package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// writer writes rows in one transaction and keeps the first error.
type writer struct {
	ctx      context.Context
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
	marks    map[int64][]byte // changed ones by start
	err      error
}

// statement returns a prepared statement; nil after an error.
func (w *writer) statement(query string) *sql.Stmt {
	if st := w.prepared[query]; st != nil || w.err != nil {
		return st
	}
	st, err := w.tx.PrepareContext(w.ctx, query)
	if w.err = err; err != nil {
		return nil
	}
	w.prepared[query] = st
	return st
}

// exec runs a statement and returns the number of changed rows.
func (w *writer) exec(query string, args ...any) int64 {
	st := w.statement(query)
	if w.err != nil {
		return 0
	}
	r, err := st.ExecContext(w.ctx, args...)
	if w.err = err; err != nil {
		return 0
	}
	n, err := r.RowsAffected()
	w.err = err
	return n
}

// get reads one row; found is false if there is none.
func (w *writer) get(query string, args []any, to ...any) (found bool) {
	st := w.statement(query)
	if w.err != nil {
		return false
	}
	err := st.QueryRowContext(w.ctx, args...).Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	w.err = err
	return err == nil
}

// window writes a window unless a newer revision is there. The ticks of its time add up the
// calls of all KMS keys' and principals' windows: they show in which windows anything was
// recorded.
func (w *writer) window(r *windowRow) {
	var before, revision int64
	key := []any{r.entity, r.size, r.start}
	if w.get(`SELECT calls, revision FROM windows WHERE entity = ? AND size = ? AND start = ?`, key, &before, &revision) &&
		revision > r.revision {
		return
	}
	w.exec(`INSERT OR REPLACE INTO windows(entity, size, start, revision, final, calls, denied, failed, anomalies,
		counters)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.entity, r.size, r.start, r.revision, r.final, r.calls, r.denied, r.failed,
		r.anomalies, r.counters)
	w.exec(`INSERT INTO ticks(size, start, calls) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET calls = calls + ?3`, r.size,
		r.start, r.calls-before)
}

// anomaly writes an anomaly unless a newer revision is there, and marks its window in the
// rows of its entities.
func (w *writer) anomaly(r *anomalyRow) {
	var n, revision, made int64
	before := int64(-1)
	found := w.get(`SELECT n, revision, made, start FROM anomalies WHERE id = ?`, []any{r.id}, &n, &revision, &made,
		&before)
	switch {
	case w.err != nil, found && (revision > r.revision || revision == r.revision && made > r.made):
		return
	case found:
		w.exec(`UPDATE anomalies SET start = ?, revision = ?, made = ?, severity = ?, score = ?, state = ?, record = ?
			WHERE n = ?`,
			r.start, r.revision, r.made, r.severity, r.score, r.state, r.record, n)
	default:
		w.exec(`INSERT INTO anomalies(id, entity, key, principal, start, revision, made, kind, severity, score, rule, state,
			record)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.id, r.entity, r.of.key, r.of.principal, r.start, r.revision,
			r.made,
			r.kind, r.severity, r.score, r.rule, r.state, r.record)
		w.get(`SELECT n FROM anomalies WHERE id = ?`, []any{r.id}, &n)
	}
	m := mark{anomaly: n, score: r.score, rule: r.rule, on: [...]int64{r.onKey, r.byPrincipal, 0},
		facet: facetCode(r.severity, r.kind, r.state)}
	if i := slices.Index(scopes[:], r.of.scope); i >= 0 {
		m.on[i] = r.entity
	}
	w.mark(before, r.start, &m)
}
