package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Seen is what a member of a group knows of the whole topic at one moment, also of the
// partitions of other members.
type Seen struct {
	Ends  map[int32]int64  // by partition, the offset behind its last record; without those that nobody tells
	Notes map[int32]string // by partition, what Transact.Note returned for the last commit; those that are known
}

// notes asks for the texts of the group's last commits. A failure leaves them out: they are
// only of use, not needed.
func (s *session) notes(ctx context.Context, adm *kadm.Client) map[int32]string {
	if s.t.Saw == nil {
		return nil
	}
	offsets, err := adm.FetchOffsets(ctx, s.t.Group)
	if err != nil {
		return nil
	}
	notes := map[int32]string{}
	for p, o := range offsets[s.t.Topic] {
		if o.Err == nil && o.Metadata != "" {
			notes[p] = o.Metadata
		}
	}
	return notes
}
