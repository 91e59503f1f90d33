package stream

import (
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var simSeed = flag.String("sim.seed", "", "the only schedule that TestSimulation runs")

// Whatever happens to the instances, and in whatever order records arrive, every call
// counts once: the final windows of thousands of random schedules equal the oracle's.
// KEYTRAIL_SIM=10m runs new schedules for that long (with -count=1, or go test shows a
// cached result).
func TestSimulation(t *testing.T) {
	from, schedules, end := uint64(1), uint64(10_000), time.Time{}
	if testing.Short() {
		schedules = 400
	}
	if d, err := time.ParseDuration(os.Getenv("KEYTRAIL_SIM")); err == nil {
		from, schedules, end = rand.Uint64()>>16, 1<<40, time.Now().Add(d)
		t.Logf("schedules from seed %d on, for %v", from, d)
	}
	if *simSeed != "" {
		n, err := strconv.ParseUint(*simSeed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		from, schedules = n, 1
	}
	defer debug.SetGCPercent(debug.SetGCPercent(2000)) // a schedule makes much garbage, and keeps nothing
	tools, began, used := newTools(t), time.Now(), computed(t)
	n, sum := explore(t, tools, from, schedules, end)
	balances, err := tools.telemetry.Balances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range balances {
		if err := b.Check(0); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d schedules, %.0f a second, %.0f a second of CPU; in them %v", n, float64(n)/time.Since(began).Seconds(), float64(n)/(computed(t)-used).Seconds(), sum)
	want := []string{"commits", "aborts", "restores", "failed restores", "killed", "paused", "moved", "refined windows", "windows left empty", "anomalies of pairs", "dead letters", "late better copies", "lost offsets", "frames of idle sources", "stops of hours",
		"anomalies that ended", "alarms that ended", "published ledgers", "alarms unused", "alarms grant_old", "incidents that ended", "incidents taken in", "returns of shippers", "calls in a hold", "restores in a hold", "starts over"}
	if n >= 10_000 {
		want = append(want, "expired unread", "far behind") // they are rare
	}
	for _, what := range want {
		if sum[what] == 0 && n > 1 {
			t.Errorf("no schedule has any %s: this tests too little", what)
		}
	}
}

// computed returns the process's CPU time, which other programs do not lengthen.
func computed(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// explore runs schedules, on every processor, until there are enough, the time is over,
// or one fails. It returns their number and statistics.
func explore(t *testing.T, tools *simTools, from, schedules uint64, end time.Time) (n uint64, sum map[string]int) {
	var next atomic.Uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum = map[string]int{}
	for range runtime.GOMAXPROCS(0) {
		own := tools.fork()
		wg.Go(func() {
			for i := next.Add(1) - 1; i < schedules && (end.IsZero() || time.Now().Before(end)); i = next.Add(1) - 1 {
				v, s := verdict(from+i, sound, own)
				mu.Lock()
				for what, n := range s.stats {
					sum[what] += n
				}
				n++
				mu.Unlock()
				if v != "" {
					next.Store(schedules)
					t.Errorf("seed %d; to repeat it: go test ./processor/stream -run 'TestSimulation$' -sim.seed=%d\n%s", from+i, from+i, v)
				}
			}
		})
	}
	wg.Wait()
	return n, sum
}

// A seed repeats: the same records at the same offsets, the same windows.
func TestSimulationRepeats(t *testing.T) {
	tools := newTools(t)
	for seed := range uint64(20) {
		_, one := verdict(seed, sound, tools)
		_, two := verdict(seed, sound, tools)
		if one.digest() != two.digest() || !maps.Equal(one.stats, two.stats) || one.now != two.now {
			t.Errorf("seed %d: %v and then %v", seed, one.stats, two.stats)
		}
	}
}

// digest is a hash of all published records and of the length of every log.
func (s *sim) digest() string {
	h := sha256.New()
	for _, topic := range []string{s.p.Topics.Events, s.p.Topics.Dedup, s.p.Topics.Partials, s.p.Topics.State} {
		for _, l := range s.b.logs[topic] {
			fmt.Fprintln(h, topic, len(l.entries))
		}
	}
	for _, topic := range []string{s.p.Topics.Windows, s.p.Topics.Anomalies} {
		s.read(topic, func(r *kgo.Record) { fmt.Fprintf(h, "%d %d %s %x\n", r.Partition, r.Offset, r.Key, r.Value) })
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// The judge detects sabotage: if the simulation breaks a promise of Kafka or between
// stages, at least one schedule in a hundred, or for three rare kinds in eight hundred,
// ends with wrong windows or dead letters, or a stage refuses to continue.
func TestSimulationHasTeeth(t *testing.T) {
	tools := newTools(t)
	for wrong := sound + 1; wrong < sabotages; wrong++ {
		enough, most := 20, 2000
		if wrong == noOffsets || wrong == lieAboutLag || wrong == forgetHold { // these need more to do harm
			enough, most = 5, 4000
		}
		first, found, n := "", 0, 0
		for ; found < enough && n < most; n++ {
			v, _ := verdict(uint64(n), wrong, tools)
			if v != "" {
				first = cmp.Or(first, fmt.Sprintf("seed %d: %.200s", n, v))
				found++
			}
		}
		if found < enough {
			t.Errorf("%v: %d of %d schedules show it", wrong, found, n)
		}
		t.Logf("%v: one schedule in %.1f shows it; %s", wrong, float64(n)/float64(max(found, 1)), first)
	}
}
