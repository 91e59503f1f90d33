package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// With other settings than the state's, each stage ends by itself at startup and names
// the difference. With the old ones, and more lateness, it continues and counts
// correctly.
func TestOtherSettingsAreRefused(t *testing.T) {
	b := broker(t)
	records := counted(t, b)
	refused := func(want string, edit func(*Pipeline)) {
		t.Helper()
		for _, stages := range []Stages{{Count: true}, {Detect: true}} {
			p := pipeline(t, b)
			edit(p)
			if err := ends(t, p, stages); !errors.Is(err, errSettings) || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v ends with %v, want %s", stages, err, want)
			}
		}
		p := pipeline(t, b)
		edit(p)
		err := p.MakeTopics(t.Context())
		if err == nil {
			_, err = p.Horizon(t.Context())
		}
		if !errors.Is(err, errSettings) {
			t.Errorf("the horizon is looked up, %v", err)
		}
	}
	refused("window.size is 1m0s, and was 5m0s", func(p *Pipeline) { p.Window.Detect.Size = int64(time.Minute) })
	refused("window.rollups is [1h0m0s], and was []", func(p *Pipeline) { p.Window.Detect.Rollups = []int64{int64(time.Hour)} })
	refused("other.events, and was kms.events", func(p *Pipeline) { p.Topics.Events = "other.events" })

	p := closing(t, b)
	p.Window.Detect.Lateness *= 2
	stop := start(t, p, counting)
	eventually(t, b, expected(t, records, p.Window.Detect.Size))
	stop()

	add := func(topics ...string) {
		made, err := admin(t, b).CreatePartitions(t.Context(), 1, topics...)
		if err != nil || made.Error() != nil {
			t.Fatal(err, made.Error())
		}
	}
	add(p.Topics.Partials, p.Topics.State)
	refused("(kafka.partitions.partials) is 3, and was 2", func(*Pipeline) {})
	add(p.Topics.Events, p.Topics.Dedup)
	refused(`the number of partitions of topic "kms.events" is 4, and was 3`, func(*Pipeline) {})
}

// Two processes of a group without state have different windows: stage detect accepts no
// frame of the one that differs.
func TestFramesOfOtherSettingsAreRefused(t *testing.T) {
	b := broker(t)
	p := pipeline(t, b)
	p.Window.Detect.Size = int64(time.Minute)
	stop := start(t, p, Stages{Normalize: true, Count: true})
	produce(t, b, p.Topics.Raw, trail(t, generate.Config{Seed: 23, Start: time.Now().Add(-3 * time.Hour), Duration: time.Hour, Events: 50}))
	waitFor(t, "a frame is written", func() bool { return length(t, b, p.Topics.Partials) > 0 })
	stop()
	err := ends(t, pipeline(t, b), Stages{Detect: true})
	if !errors.Is(err, errSettings) || !strings.Contains(err.Error(), "window.size is 5m0s, and was 1m0s") || !strings.Contains(err.Error(), "source ") {
		t.Errorf("stage detect ends with %v", err)
	}
	p = pipeline(t, b)
	p.Window.Detect.Size = int64(time.Minute)
	stop = start(t, p, counting) // no data is damaged
	caughtUp(t, b, p)
	stop()
}
