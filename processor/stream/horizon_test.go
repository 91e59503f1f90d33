package stream

import (
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/kafka/kafkatest"
)

// The horizon of an installation follows from its state: exactly the events before it
// become dead letters. An installation without counts has none.
func TestHorizon(t *testing.T) {
	b := kafkatest.Start(t)
	p := pipeline(t, b.Brokers())
	if err := p.MakeTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := p.Horizon(t.Context())
	if err != nil || h.Late(1) || h.Late(time.Now().UnixNano()) {
		t.Fatalf("an installation that has counted nothing has the horizon %+v (%v)", h, err)
	}
	stop := start(t, p, Stages{Normalize: true, Count: true, Detect: true})
	records := trail(t, generate.Config{Seed: 75, Start: time.Now().Add(-90 * time.Hour), Duration: 40 * time.Hour, Events: 300})
	produce(t, b.Brokers(), p.Topics.Raw, records)
	caughtUp(t, b.Brokers(), p)
	stop()
	if h, err = p.Horizon(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The youngest event is some minutes to an hour before the end.
	mark := time.Unix(0, h.mark)
	if mark.Before(time.Now().Add(-55*time.Hour)) || mark.After(time.Now().Add(-50*time.Hour)) {
		t.Errorf("the horizon is %v, want the end of the trail, 50 hours ago", mark)
	}
	edge := h.late - h.size
	if !h.Late(edge-h.size) || h.Late(edge+h.size) || h.Late(time.Now().UnixNano()) || h.Late(0) {
		t.Errorf("late before the edge %v, at the edge %v, now %v", h.Late(edge-h.size), h.Late(edge+h.size), h.Late(time.Now().UnixNano()))
	}
}
