package stream

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/wire"
)

// The stages iterate over maps, so the order of their output within a transaction varies.
// This file makes it repeatable for a seed.

// inOrder sorts a stage's output. Records that must keep their order have the same sort
// key: the frames of one source, the revisions of one window.
func (s *sim) inOrder(records []*kgo.Record) []*kgo.Record {
	slices.SortStableFunc(records, func(a, b *kgo.Record) int {
		if c := cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition)); c != 0 {
			return c
		}
		if a.Topic == s.b.topics.Partials {
			return cmp.Compare(sourceOf(a), sourceOf(b))
		}
		return bytes.Compare(a.Key, b.Key)
	})
	same := func(a, b *kgo.Record) bool {
		return a.Topic == b.Topic && a.Partition == b.Partition && sourceOf(a) == sourceOf(b)
	}
	for from := 0; from < len(records); {
		to := from + 1
		if records[from].Topic == s.b.topics.Partials {
			for to < len(records) && same(records[from], records[to]) {
				to++
			}
			s.deal(records[from:to])
		}
		from = to
	}
	return records
}

// sourceOf is the source of a frame.
func sourceOf(r *kgo.Record) int32 {
	d := wire.NewDecoder(r.Value)
	d.Version()
	return int32(d.Uint())
}

// deal reorders the partials of one source's frames, across the frames.
func (s *sim) deal(records []*kgo.Record) {
	var all []wire.Partial
	frames := make([]wire.Frame, len(records))
	for i, r := range records {
		f, err := wire.NewDecoder(r.Value).Frame()
		if err != nil {
			s.fault("a frame: %v", err)
			return
		}
		frames[i] = f
		all = append(all, f.Partials...)
	}
	if len(all) < 2 {
		return
	}
	slices.SortStableFunc(all, func(a, b wire.Partial) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Principal, b.Principal))
	})
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var enc wire.Encoder
	for i, r := range records {
		n := len(frames[i].Partials)
		frames[i].Partials, all = all[:n:n], all[n:]
		r.Value = wire.AppendFrame(nil, &enc, &frames[i])
	}
}
