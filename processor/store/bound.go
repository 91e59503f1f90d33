package store

import (
	"context"
	"database/sql"
	"fmt"
)

// step bounds the rows of a table that one commit deletes, so that a reader never waits
// long. A commit adds fewer.
const step = 50_000

// prune deletes what is older than the retention, counted from the newest window, so that
// the history of an old trail stays. Over the bound on bytes it deletes the oldest twentieth
// of the time that the history has. s.mu is held.
func (s *Store) prune(ctx context.Context) error {
	var size, first, last sql.NullInt64
	if err := s.write.QueryRowContext(ctx, sqlExtent).Scan(&size, &first, &last); err != nil || !first.Valid {
		return err
	}
	before := last.Int64 - int64(s.limits.Retention.Seconds())
	used, err := s.used(ctx)
	if err != nil {
		return err
	}
	if used > s.limits.Bytes {
		before = max(before, first.Int64+max((last.Int64-first.Int64)/20, size.Int64))
	}
	if first.Int64 >= before {
		return nil
	}
	for _, d := range [...]struct {
		query string
		args  []any
	}{
		{sqlPruneWindows, []any{before, step}}, {sqlPruneMarks, []any{before, step}}, {sqlPruneAnomalies, []any{before, step}},
		{sqlPruneEvents, []any{before * 1000, step / segmentRows}}, {sqlPruneTicks, []any{before}},
	} {
		if _, err := s.write.ExecContext(ctx, d.query, d.args...); err != nil {
			return fmt.Errorf("cannot delete old records: %w", err)
		}
	}
	_, err = s.write.ExecContext(ctx, "PRAGMA incremental_vacuum(2000)")
	return err
}

// used returns the bytes of the file that hold records.
func (s *Store) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	for pragma, to := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := s.write.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(to); err != nil {
			return 0, err
		}
	}
	return (pages - free) * size, nil
}
