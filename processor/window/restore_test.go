package window_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// restarter is an engine that is repeatedly dropped and restored from its changelog.
type restarter struct {
	t       *testing.T
	notify  bool
	cfg     window.Config
	e       *window.Engine
	log     map[string][]byte // the changelog, compacted
	mark    int64
	traffic window.Traffic
	since   []*wire.Partial // merged since the last commit
	notices []wire.Partial
	hot     int // the most unpacked entities
}

func newRestarter(t *testing.T, cfg window.Config, notify bool, hot int) *restarter {
	r := &restarter{t: t, cfg: cfg, hot: hot, notify: notify, log: map[string][]byte{}, mark: eventtime.None}
	r.fresh()
	return r
}

func (r *restarter) fresh() {
	var notify func(wire.Partial)
	if r.notify {
		notify = func(p wire.Partial) { r.notices = append(r.notices, p) }
	}
	r.e = window.NewEngine(r.cfg, notify)
	r.e.SetHot(r.hot)
}

// restart restores the engine as of the last commit, and repeats the later merges, like
// Kafka after a crash or an aborted transaction.
func (r *restarter) restart() {
	r.t.Helper()
	r.fresh()
	for name, value := range r.log {
		if err := r.e.Restore(name, value); err != nil {
			r.t.Fatal(err)
		}
	}
	r.e.SetTraffic(r.traffic)
	if err := r.e.Restored(r.e.MarkAt(r.mark), math.MaxInt64); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range r.since {
		r.e.Merge(p)
	}
}

func (r *restarter) merge(p *wire.Partial) bool {
	r.since = append(r.since, p)
	return r.e.Merge(p)
}

// notice merges the engines' notices.
func (r *restarter) notice(list []wire.Partial) {
	for i := range list {
		r.merge(&list[i])
	}
	r.notices = nil
}

// commit writes the changes to the changelog.
func (r *restarter) commit() {
	var enc wire.Encoder
	r.e.Changes(
		func(name string, value []byte) {
			ent, err := entity.Decode(name, value)
			if err != nil {
				r.t.Fatal(err)
			}
			if whole := entity.Append(nil, &enc, ent); string(whole) != string(value) {
				r.t.Fatalf("%q is written as %x, and encoded whole as %x", name, value, whole)
			}
			r.log[name] = value
		},
		func(name string) { delete(r.log, name) },
	)
	r.mark, r.traffic, r.since = r.e.Mark().Watermark, r.e.Traffic(), nil
}

// An engine that is restarted repeatedly, with late calls and corrections in its input,
// publishes exactly the same as one that never was.
func TestRestoreChangesNothing(t *testing.T) {
	for _, notify := range []bool{false, true} {
		restoresAlike(t, hasty(), notify, 5000)
	}
}

// restoresAlike compares a restarted engine with one that is not, over at least want
// results.
func restoresAlike(t *testing.T, cfg window.Config, notify bool, least int) {
	t.Helper()
	restarts, published := 0, 0
	for _, seed := range []uint64{0, 1, 2, 3, 4, 30} { // with 30 a silence was once reported at a different time
		rng := rand.New(rand.NewPCG(seed, 30))
		steady, shaky := newRestarter(t, cfg, notify, 1<<30), newRestarter(t, cfg, notify, 0)
		progress := eventtime.Progress{Disorder: disorder}
		table := count.NewTable(size)
		advance := func(mark int64) {
			want, got := text(advance(steady.e, mark, 1<<30)), text(advance(shaky.e, mark, 1+rng.IntN(9)))
			if got != want {
				got, want := differ(got, want)
				t.Fatalf("seed %d notify %v: after a restart\n%s\nis published, without one\n%s", seed, notify, got, want)
			}
			published += strings.Count(want, "\n")
			if a, b := fmt.Sprint(steady.notices), fmt.Sprint(shaky.notices); a != b {
				t.Fatalf("seed %d: notices %s, want %s", seed, b, a)
			}
			steady.commit()
			shaky.commit()
			back := steady.notices // they return with a later commit
			steady.notice(back)
			shaky.notice(back)
		}
		list := arrivals(rng, history(rng, int64(hasty().Retention)), disorder+70*minute)
		for i := range list {
			table.Add(&list[i].Call, list[i].n)
			table.Learn(&list[i].Call)
			progress.Observe(list[i].Time, list[i].at)
			switch rng.IntN(30) {
			case 0, 1, 2, 3:
				for p := range table.All() {
					if !count.Empty(p) && steady.merge(p) != shaky.merge(p) {
						t.Fatalf("seed %d: %s is late for one engine only", seed, nameOf(p.Entity, p.Start, size))
					}
				}
				table = count.NewTable(size) // the partials are kept to be merged again
			case 4:
				advance(progress.Watermark())
			case 5:
				shaky.restart()
				restarts++
			}
		}
		advance(begin + 3*day)
		shaky.restart()
		advance(begin + 4*day) // beyond the retention
		if steady.e.Len() != shaky.e.Len() || len(shaky.log) != shaky.e.Len() {
			t.Errorf("seed %d: %d and %d entities, %d in the changelog", seed, steady.e.Len(), shaky.e.Len(), len(shaky.log))
		}
	}
	if restarts < 200 || published < least {
		t.Errorf("%d restarts and %d results: this tests too little", restarts, published)
	}
}

// differ returns the first lines in which two texts differ.
func differ(a, b string) (string, string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i], bs[i]
		}
	}
	return fmt.Sprintf("%d lines", len(as)), fmt.Sprintf("%d lines", len(bs))
}

func text(results []window.Result) string {
	var b strings.Builder
	for _, r := range results {
		b.WriteString(describe(r))
		b.WriteByte('\n')
	}
	return b.String()
}
