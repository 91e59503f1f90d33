package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Seen is a member's view of the whole topic at one moment, including other members'
// partitions.
type Seen struct {
	Ends  map[int32]int64  // by partition, the offset after its last record; unknown ones are missing
	Notes map[int32]string // by partition, the text of Transact.Note at the last commit; unknown ones are missing
}

// notes requests the notes of the group's last commits. A failure only leaves them out:
// they are an optimization.
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
