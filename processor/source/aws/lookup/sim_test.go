package lookup

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source"
)

// span is a range of event time that was looked up or has a dead letter.
type span struct{ from, to time.Time }

// walked is a Source whose regions sometimes fail, and which is sometimes killed. A seed
// determines everything.
type walked struct {
	t      *testing.T
	rng    *rand.Rand
	cfg    Config
	now    time.Time
	s      *Source
	denied map[string]bool
	spans  map[string][]span // of the first look, by region
	dead   int
}

func (w *walked) start() {
	_, cfg := newHistory(w.t)
	s, err := New(cfg, w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *walked) step() {
	region := w.cfg.Regions[w.rng.IntN(len(w.cfg.Regions))]
	switch w.rng.IntN(12) {
	case 0:
		w.denied[region] = true
	case 1, 2:
		delete(w.denied, region)
	case 3:
		w.start() // killed
	case 4:
		if err := w.s.Close(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	case 5:
		if w.rng.IntN(4) == 0 {
			w.now = w.now.Add(time.Duration(w.rng.IntN(60)) * 24 * time.Hour)
		}
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(90)) * time.Minute)
		w.poll()
	}
}

func (w *walked) poll() (offered int) {
	list, err := w.s.Poll(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list {
		look, rest, _ := strings.Cut(o.Name, ":")
		parts := strings.Split(rest, "/")
		region := parts[0]
		var failed error
		if w.denied[region] {
			failed = source.Denied(errors.New("AccessDeniedException"))
		}
		// Events beyond the history report that themselves, to any reader.
		var rejected *source.Rejected
		if body, err := o.Open(); errors.As(err, &rejected) {
			failed = rejected
		} else if err == nil {
			body.Close()
		}
		if failed != nil && w.s.Retry(o, failed) {
			continue
		}
		if failed != nil {
			w.dead++
			if rejected == nil {
				w.t.Fatalf("%s was given up because of %v", o.Name, failed)
			}
		}
		from, err1 := time.Parse(time.RFC3339, parts[1])
		to, err2 := time.Parse(time.RFC3339, parts[2])
		if err1 != nil || err2 != nil {
			w.t.Fatal(err1, err2)
		}
		if failed == nil && from.Before(w.now.Add(-Retention)) {
			w.t.Fatalf("at %v %s is taken for looked up, which the history no longer holds", w.now, o.Name)
		}
		if look == "lookup" {
			w.spans[region] = append(w.spans[region], span{from, to})
		}
		w.s.Done(o)
	}
	return len(list)
}

// Whatever fails and for however long, all event time from the start on is looked up or
// has a dead letter, and only time beyond the history has one.
func TestSourceSimulation(t *testing.T) {
	dead := 0
	for seed := range uint64(20) {
		w := &walked{t: t, rng: rand.New(rand.NewPCG(seed, 5)), now: noon, denied: map[string]bool{}, spans: map[string][]span{}}
		w.cfg = Config{
			Regions: []string{"eu-central-1", "us-east-1", "us-gov-west-1"}, Start: noon.Add(-2 * time.Hour), Delay: DefaultDelay,
			Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return w.now },
		}
		w.start()
		for range 150 {
			w.step()
		}
		clear(w.denied)
		for range 5 {
			for w.poll() > 0 {
			}
			w.now = w.now.Add(time.Hour)
		}
		for w.poll() > 0 {
		}
		for _, region := range w.cfg.Regions {
			list := w.spans[region]
			slices.SortFunc(list, func(a, b span) int { return a.from.Compare(b.from) })
			at := w.cfg.Start
			for _, s := range list {
				if s.from.After(at) {
					t.Fatalf("seed %d: nobody looked at %s from %v to %v", seed, region, at, s.from)
				}
				if s.to.After(at) {
					at = s.to
				}
			}
			if end := w.now.Add(-DefaultDelay - time.Minute); at.Before(end) {
				t.Fatalf("seed %d: %s was looked at up to %v, want %v", seed, region, at, end)
			}
		}
		dead += w.dead
		if got := w.s.Waiting(); got.Size != 0 {
			t.Fatalf("seed %d: %+v wait at the end", seed, got)
		}
	}
	if dead == 0 {
		t.Error("no history expired in any world")
	}
}
