package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// lagEvery is how often a stage asks how far it is behind.
const lagEvery = time.Second

// UnknownLag is the lag of a partition of which no broker says where it ends.
const UnknownLag = -1

// lag tells the processor how far behind it is, unless it was told just now. A
// partition that brings no records may have none, or may not be readable at the
// moment; only its end tells these two apart.
func (s *session) lag(ctx context.Context) {
	if time.Since(s.asked) < lagEvery {
		return
	}
	s.asked = time.Now()
	within, cancel := context.WithTimeout(ctx, lagEvery)
	defer cancel()
	adm := kadm.NewClient(s.gts.Client())
	notes := s.notes(within, adm) // before the ends: it may be of an earlier moment, not of a later one
	// The high watermark, not the last stable offset: what is in an open transaction
	// is on its way. Of an error only the partitions that are missing matter.
	ends, _ := adm.ListEndOffsets(within, s.t.Topic)
	behind := make(map[int32]int64, len(s.owned))
	for p := range s.owned {
		behind[p] = UnknownLag
		end, ok := ends.Lookup(s.t.Topic, p)
		if !ok || end.Err != nil {
			continue
		}
		if at, ok := s.next[p]; ok {
			behind[p] = max(0, end.Offset-at.Offset)
		}
	}
	if s.t.Saw != nil {
		seen := Seen{Notes: notes, Ends: map[int32]int64{}}
		ends.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				seen.Ends[o.Partition] = o.Offset
			}
		})
		s.t.Saw(seen)
	}
	s.p.Lag(behind)
}
