package stream

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/eventtime"
	"keytrail/processor/intake"
	"keytrail/processor/sigma"
	"keytrail/processor/state"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// watched is one source of stage count, reduced to the matches of correlations: a test
// passes each call with its matches.
type watched struct {
	t    *testing.T
	c    *counter
	task *countTask
	log  []*kgo.Record    // the dedup topic
	sent map[string]int64 // matches by correlation and group, of all frames
	said *lines
}

func watch(t *testing.T, rules *sigma.Rules) *watched {
	w := &watched{t: t, sent: map[string]int64{}, said: &lines{}}
	w.c, _ = bigCommit(0)
	w.c.p.Rules, w.c.p.Log = rules, slog.New(slog.NewTextHandler(w.said, nil))
	w.start()
	return w
}

// start restores the source's state from its log.
func (w *watched) start() {
	w.t.Helper()
	p := w.c.p
	w.task = &countTask{partition: 1, Source: intake.NewSource(p.Window.Detect.Size), observed: newObserver(p.Rules),
		sent: wire.Frame{Watermark: eventtime.None}, lastEvent: time.Now().UnixNano()}
	forgotten := 0
	for _, r := range w.log {
		if err := w.task.restore(r, &forgotten); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.task.restored(); err != nil {
		w.t.Fatal(err)
	}
	p.forgot("count", forgotten)
	w.c.tasks = map[int32]*countTask{1: w.task}
	w.c.stats = tally{}
}

// see credits a copy of a call with matches, unless a better one is credited.
func (w *watched) see(id string, at int64, copy kms.Copy, seen ...sigma.Observation) {
	t := w.task
	c := count.Call{ID: wire.ParseCallID(id), IDText: id, Time: at, Key: "key", Principal: "p", Copy: copy}
	if t.begun, t.to = true, t.to+1; !t.Seen.Add(c.ID, at) {
		old, ok := t.Credits[c.ID]
		if !ok || copy <= old.Copy {
			return
		}
	} else {
		t.Keys = append(t.Keys, dedup.Key{ID: c.ID, Time: at})
	}
	t.observed.observe(&c, seen)
	t.Credit(c)
	t.Changed = append(t.Changed, c)
}

// commit commits at a watermark.
func (w *watched) commit(mark int64) {
	w.t.Helper()
	w.task.progress.Observe(eventtime.Add(mark, w.task.progress.Disorder), math.MaxInt64)
	w.task.to++
	for _, r := range output(w.t, w.c) {
		if len(r.Value) > wire.MaxValueBytes {
			w.t.Errorf("a record of %d bytes for %s", len(r.Value), r.Topic)
		}
		if r.Topic == w.c.p.Topics.Dedup {
			w.log = append(w.log, r)
			continue
		}
		f, err := wire.NewDecoder(r.Value).Frame()
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range f.Panes {
			p := &f.Panes[i]
			if q := p.Owner(3); q != r.Partition {
				w.t.Errorf("a pane of partition %d is sent to %d", q, r.Partition)
			}
			w.sent[p.Group] += sigma.Matches(p.Tally)
		}
	}
}

// saw is an observation of c-many in a group.
func saw(rules *sigma.Rules, group string) sigma.Observation {
	return sigma.Observation{Correlation: rules.Correlations[0], Group: group}
}

const minute = int64(time.Minute)

// copies chooses the copies of a call, in order of arrival, and the groups of each.
func copies(rng *rand.Rand) (list []kms.Copy, shown map[kms.Copy][]string) {
	list = []kms.Copy{kms.CopyAddendum, kms.CopyOwner, kms.CopyCaller}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list, shown = list[:1+rng.IntN(3)], map[kms.Copy][]string{}
	for _, copy := range list {
		for _, g := range []string{"a", "b", "c"} {
			if rng.IntN(2) == 0 {
				shown[copy] = append(shown[copy], g)
			}
		}
	}
	return list, shown
}

// A call counts by its best copy, in whatever order its copies arrive before the
// watermark, and no copy's matches are lost if one arrives later. A restart at any point
// changes nothing.
func TestObservedCopies(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := watch(t, rules)
		mark, want := 1000*minute, map[string]int64{}
		for i := range 12 {
			id, at := fmt.Sprint("call-", i), mark+1+rng.Int64N(20*minute)
			list, shown := copies(rng)
			late := rng.IntN(3) == 0 // the watermark comes between the copies
			best := slices.Max(list)
			counts := map[string]bool{}
			rank := kms.Copy(0)
			for k, copy := range list {
				for range 1 + rng.IntN(2) {
					var seen []sigma.Observation
					for _, g := range shown[copy] {
						seen = append(seen, saw(rules, g))
					}
					w.see(id, at, copy, seen...)
				}
				if k == 0 || copy > rank {
					if rank = copy; late || copy == best {
						for _, g := range shown[copy] {
							counts[g] = true
						}
					}
				}
				if late && k < len(list)-1 {
					mark = max(mark, at+1)
					w.commit(mark)
				} else if rng.IntN(2) == 0 {
					w.commit(mark)
				}
				if rng.IntN(3) == 0 { // killed: uncommitted records come again
					w.commit(mark)
					w.start()
				}
			}
			for g := range counts {
				want[g]++
			}
		}
		w.commit(mark + 100*minute)
		if !maps.Equal(w.sent, want) {
			t.Fatalf("seed %d: counted are %v, want %v", seed, w.sent, want)
		}
		w.commit(mark + 1000*minute)
		if o := w.task.observed; len(o.held) != 0 || o.bytes != 0 || o.table.Len() != 0 || o.table.Bytes() != 0 {
			t.Errorf("seed %d: %d calls and %d bytes are held for ever, and %d panes", seed, len(o.held), o.bytes, o.table.Len())
		}
	}
}

// Matches of one call that are too many to hold count at once, and once; matches of many
// calls go out in records that Kafka accepts.
func TestObservedTooMuch(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	w := watch(t, rules)
	var much []sigma.Observation
	for i := range 100 {
		much = append(much, saw(rules, strings.Repeat("g", 1000)+fmt.Sprint(i)))
	}
	w.see("much", 1000*minute, kms.CopyOwner, much...)
	for i := range 3000 {
		w.see(fmt.Sprint("call-", i), 1000*minute, kms.CopyOwner, saw(rules, strings.Repeat("h", 1500)+fmt.Sprint(i)))
	}
	for i := range 20_000 {
		w.see(fmt.Sprint("small-", i), 1000*minute, kms.CopyCaller, saw(rules, "small"))
	}
	w.commit(999 * minute)
	w.start()
	w.see("much", 1000*minute, kms.CopyCaller, much[:50]...)
	w.commit(1001 * minute)
	if len(w.sent) != 3101 || w.sent["small"] != 20_000 || w.said.has("have too many matches") != 1 {
		t.Errorf("%d groups are counted; the log says %q", len(w.sent), w.said.text.String())
	}
	for g, n := range w.sent {
		if n != 1 && g != "small" {
			t.Errorf("group %q counts %d", g, n)
		}
	}
}

// Matches counted before their call had too many to hold are not counted again.
func TestObservedTooMuchLater(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	w := watch(t, rules)
	w.see("call", 1000*minute, kms.CopyAddendum, saw(rules, "g"))
	w.commit(1001 * minute)
	w.see("call", 1000*minute, kms.CopyOwner, saw(rules, "g"), saw(rules, strings.Repeat("h", mostCallBytes)))
	w.see("call", 1000*minute, kms.CopyCaller, saw(rules, "g"), saw(rules, "i"))
	if w.commit(1002 * minute); len(w.sent) != 2 || w.sent["g"] != 1 {
		t.Errorf("%d groups are counted, the first %d times", len(w.sent), w.sent["g"])
	}
}

// A better copy replaces a worse one up to the watermark.
func TestObservedAtTheWatermark(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	w := watch(t, rules)
	w.see("call", 1000*minute, kms.CopyOwner, saw(rules, "g"))
	w.commit(1000 * minute)
	w.see("call", 1000*minute, kms.CopyCaller, saw(rules, "h"))
	if w.commit(1001 * minute); !maps.Equal(w.sent, map[string]int64{"h": 1}) {
		t.Errorf("counted are %v", w.sent)
	}
}

// Panes of one commit beyond the bound are omitted and reported.
func TestObservedBound(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	w := watch(t, rules)
	long := strings.Repeat("g", 2000)
	n := 0
	for ; w.task.observed.refused == 0 && n < 100_000; n++ {
		w.see(fmt.Sprint("call-", n), 1000*minute, kms.CopyCaller, saw(rules, long+fmt.Sprint(n)))
	}
	if n < 10_000 || n >= 100_000 {
		t.Fatalf("refused after %d", n)
	}
	w.task.Table.Reset()
	w.commit(999 * minute)
	if len(w.sent) != n-1 || w.c.stats.uncorrelated != 1 || w.said.has("left_out=1") != 1 {
		t.Errorf("%d of %d groups are counted, %+v; the log says %q", len(w.sent), n, w.c.stats, w.said.text.String())
	}
	w.see("one more", 1000*minute, kms.CopyCaller, saw(rules, "small"))
	if w.commit(999 * minute); w.sent["small"] != 1 {
		t.Error("the next commit has no room")
	}
}

// Held matches of a changed correlation are dropped and reported.
func TestObservedOfAChangedCorrelation(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	w := watch(t, rules)
	w.see("call", 1000*minute, kms.CopyOwner, saw(rules, "g"), sigma.Observation{Correlation: rules.Correlations[1]})
	w.commit(999 * minute)
	if log, err := state.DecodeCounted(w.log[0].Value); err != nil || len(log.Observed) != 1 || len(log.Observed[0].List) != 2 {
		t.Fatalf("%+v, %v", log, err)
	}
	w.c.p.Rules = loadRules(t, strings.Replace(userCorrelations, "{gte: 3}", "{gte: 4}", 1))
	w.start()
	w.commit(1001 * minute)
	if len(w.sent) != 1 || w.sent[""] != 1 || w.said.has("records=1") != 1 {
		t.Errorf("counted are %v; the log says %q", w.sent, w.said.text.String())
	}
	w.c.p.Rules = nil
	w.start()
	if w.said.has("records=2") != 1 {
		t.Errorf("without correlations the log says %q", w.said.text.String())
	}
}
