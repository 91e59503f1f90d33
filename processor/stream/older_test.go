package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/state"
	"keytrail/schemas/wire"
)

// An older version's records in kms.dedup, with or without their own key, give the advice
// to start over, and a newer one's to wait for it: the version is checked before anything
// that only this version has.
func TestDedupOfOtherVersions(t *testing.T) {
	value := func(version uint64) []byte { return append(binary.AppendUvarint(nil, version), "anything"...) }
	name := state.CountedName{Sequence: 1}
	for _, c := range []struct {
		key, value []byte
		want       error
	}{
		{nil, value(1), wire.ErrOlder},
		{nil, value(wire.FormatVersion - 1), wire.ErrOlder},
		{[]byte("0"), value(wire.FormatVersion - 1), wire.ErrOlder},
		{name.Key(), value(wire.FormatVersion - 1), wire.ErrOlder},
		{[]byte(state.HeadKey), value(wire.FormatVersion - 1), wire.ErrOlder},
		{nil, []byte("damage"), wire.ErrFrame},
		{nil, nil, wire.ErrFrame},
		{nil, value(wire.FormatVersion), wire.ErrFrame},
		{nil, value(wire.FormatVersion + 1), wire.ErrNewer},
		{[]byte("a longer name"), value(wire.FormatVersion + 1), wire.ErrNewer},
		{[]byte("a longer name"), value(wire.FormatVersion), wire.ErrFrame},
		{[]byte("a longer name"), nil, wire.ErrFrame},
		{name.Key(), []byte("damage"), wire.ErrFrame},
	} {
		t.Run(fmt.Sprintf("%q %q", c.key, c.value), func(t *testing.T) {
			r := newLateRig(t)
			r.log = []*kgo.Record{{Topic: r.s.c.p.Topics.Dedup, Key: c.key, Value: c.value}}
			err := r.s.c.Assign(t.Context(), []int32{0})
			if !errors.Is(err, c.want) || errors.Is(err, kafka.ErrStateMissing) {
				t.Errorf("it is refused with %v, want %v", err, c.want)
			}
			for _, other := range []error{wire.ErrOlder, wire.ErrNewer} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("it is refused with %v, too", other)
				}
			}
		})
	}
}

// Startup refuses a state topic whose records may expire, and names no command that would
// only hide the loss.
func TestStateIsNotCompacted(t *testing.T) {
	for _, name := range []string{wire.DefaultTopics().Dedup, wire.DefaultTopics().State} {
		b := broker(t)
		p := pipeline(t, b)
		for _, topic := range p.allTopics() {
			configs := topic.Configs
			if topic.Name == name {
				configs = with(kept(24*time.Hour), "max.message.bytes", kafka.MaxBatchBytes)
			}
			if _, err := admin(t, b).CreateTopic(t.Context(), topic.Partitions, 1, configs, topic.Name); err != nil {
				t.Fatal(err)
			}
		}
		err := p.Run(t.Context(), Stages{Count: true})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q has cleanup.policy delete", name)) ||
			!strings.Contains(err.Error(), `docs/operations.md, "Starting over"`) || strings.Contains(err.Error(), "kafka-configs") {
			t.Errorf("it is refused with %v", err)
		}
	}
}
