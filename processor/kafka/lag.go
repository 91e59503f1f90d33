package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// lagEvery is how often a stage measures its lag.
const lagEvery = time.Second

// UnknownLag is the lag of a partition whose end offset no broker reports.
const UnknownLag = -1

// lag passes the current lag to the processor, at most every lagEvery. A partition that
// brings no records may be empty or unreadable at the moment; only its end offset
// distinguishes the two.
func (s *session) lag(ctx context.Context) {
	if time.Since(s.asked) < lagEvery {
		return
	}
	s.asked = time.Now()
	within, cancel := context.WithTimeout(ctx, lagEvery)
	defer cancel()
	adm := kadm.NewClient(s.gts.Client())
	notes := s.notes(within, adm) // before the end offsets: the notes may be older than those, but not newer
	// Up to the high watermark, not the last stable offset: records of an open
	// transaction are on their way. Errors matter only as missing partitions.
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
