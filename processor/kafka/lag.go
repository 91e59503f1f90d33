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
	if time.Since(s.asked) < lagEvery || len(s.owned) == 0 {
		return
	}
	s.asked = time.Now()
	within, cancel := context.WithTimeout(ctx, lagEvery)
	defer cancel()
	adm := kadm.NewClient(s.gts.Client())
	// The high watermark, not the last stable offset: what is in an open transaction
	// is on its way. Of an error only the partitions that are missing matter.
	ends, _ := adm.ListEndOffsets(within, s.t.Topic)
	behind := make(map[int32]int64, len(s.owned))
	for p := range s.owned {
		behind[p] = UnknownLag
		if end, ok := ends.Lookup(s.t.Topic, p); ok && end.Err == nil {
			if at, ok := s.position(within, adm, p); ok {
				behind[p] = max(0, end.Offset-at)
			}
		}
	}
	s.p.Lag(behind)
}

// position returns the offset from which a partition is read on: behind what was
// read of it, else where the group's commit or the log begins.
func (s *session) position(ctx context.Context, adm *kadm.Client, p int32) (int64, bool) {
	if at, ok := s.next[p]; ok {
		return at, true
	}
	starts, _ := adm.ListStartOffsets(ctx, s.t.Topic)
	start, ok := starts.Lookup(s.t.Topic, p)
	if !ok || start.Err != nil {
		return 0, false
	}
	at := start.Offset
	if committed, ok := s.gts.Client().CommittedOffsets()[s.t.Topic][p]; ok {
		at = max(at, committed.Offset)
	}
	s.next[p] = at
	return at, true
}
