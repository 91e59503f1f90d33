package web

import (
	"context"

	"keytrail/processor/store"
)

// series is calls over time, with the columns in which nothing was recorded, of any entity.
type series struct {
	Size   int64         `json:"window_seconds"`
	From   int64         `json:"from"`
	Until  int64         `json:"until"`
	Points []store.Point `json:"points"`
	Gaps   [][2]int64    `json:"gaps"`
}

// series returns the points with the gaps between them. Columns that are not made of whole
// windows have none: the history knows only which windows were recorded.
func (s *Server) series(ctx context.Context, window, size, from, until int64, points []store.Point) (*series, error) {
	v := &series{size, from, until, points, [][2]int64{}}
	if window == 0 || size == 0 || size%window != 0 {
		return v, nil
	}
	recorded, err := s.cfg.Store.Recorded(ctx, from, until, size)
	v.Gaps = gaps(recorded, from, until, size)
	return v, err
}

// gaps returns the columns without a record, as pairs of the first and the one after the
// last.
func gaps(recorded map[int64]int64, from, until, width int64) [][2]int64 {
	list := [][2]int64{}
	for c := int64(0); c*width < until-from; c++ {
		if _, ok := recorded[c]; ok {
			continue
		}
		if n := len(list); n > 0 && list[n-1][1] == c {
			list[n-1][1]++
		} else {
			list = append(list, [2]int64{c, c + 1})
		}
	}
	return list
}

// gather adds up points in columns.
func gather(points []store.Point, width int64) []store.Point {
	list := []store.Point{}
	for _, w := range points {
		at := w.Start - w.Start%width
		if n := len(list); n == 0 || list[n-1].Start != at {
			list = append(list, store.Point{Start: at})
		}
		c := &list[len(list)-1]
		c.Calls, c.Denied, c.Failed, c.Anomalies = c.Calls+w.Calls, c.Denied+w.Denied, c.Failed+w.Failed,
			c.Anomalies+w.Anomalies
		c.Open = c.Open || w.Open
	}
	return list
}
