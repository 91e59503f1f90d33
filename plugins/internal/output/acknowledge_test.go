package output

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/property"
)

// keeper is the in_kms that listens.
type keeper struct {
	mu     sync.Mutex // guards the following
	has    ack.Ranges
	health ack.Health
	name   string
}

// ackBench is a bench whose Output acknowledges to a keeper.
func ackBench(t *testing.T, change func(*Config)) (*bench, *keeper, ack.Run) {
	t.Helper()
	dir, err := os.MkdirTemp("", "acks") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path, run, k := filepath.Join(dir, "s"), ack.Run{5}, &keeper{}
	l, err := ack.Listen(path, run, ack.Handlers{
		Acks: func(_ int, name string, h ack.Health, list []ack.Range) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			for _, r := range list {
				k.has.Add(r)
			}
			k.health, k.name = h, name
			return nil
		},
		Gone: func(int, string) {}, Say: func(string, ...any) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := newBench(t, func(c *Config) {
		c.AckPaths = []string{path}
		if change != nil {
			change(c)
		}
	}, seeded())
	return b, k, run
}

// want waits until exactly these numbers are acknowledged.
func (k *keeper) want(t *testing.T, what string, want ...ack.Range) {
	t.Helper()
	ok := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return slices.Equal(k.has.List(), want)
	}
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: acknowledged are %v, want %v", what, k.has.List(), want)
		}
	}
}

func numberedRecord(run ack.Run, n uint64, json string) []byte {
	b := chunk.Append(nil, &chunk.Record{Event: []byte(json), Object: "a", Index: int(n), Numbered: true})
	chunk.SetNumber(b, &run, n)
	return b
}

// Delivered, dead-lettered and filtered records are acknowledged, each once it is; other
// runs' are not, and a record that is not in_kms's needs no number.
func TestFlushAcknowledges(t *testing.T) {
	b, k, run := ackBench(t, nil)
	filtered := strings.Replace(event(9), "kms.amazonaws.com", "s3.amazonaws.com", 1)
	b.flush(OK, numberedRecord(run, 1, event(0)), numberedRecord(run, 2, "{"), numberedRecord(run, 3, filtered),
		flat(event(1)), numberedRecord(ack.Run{6}, 4, event(2)), numberedRecord(run, 9, event(3)))
	k.want(t, "a chunk", ack.Range{From: 1, To: 4}, ack.Range{From: 9, To: 10})
	if s := b.o.Stats(); s.Acknowledged != 5 || k.name != "out_kms.0" {
		t.Errorf("%+v acknowledged as %q", s, k.name)
	}
}

// A record that Kafka does not have is not acknowledged when the flush ends. It is when Kafka
// is back, whether Fluent Bit asks again or not.
func TestFlushAcknowledgesLate(t *testing.T) {
	b, k, run := ackBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond })
	b.flush(OK, numberedRecord(run, 1, event(0)))
	k.want(t, "the first", ack.Range{From: 1, To: 2})
	b.broken.Store(true)
	if got := b.o.Flush(slices.Concat(numberedRecord(run, 2, event(1)), numberedRecord(run, 3, "{")), "t"); got != Retry {
		t.Fatalf("the flush returned %d", got)
	}
	if n, _ := b.o.attempts.unfinished(run, time.Now()); n != 1 {
		t.Errorf("%d chunks are unfinished", n)
	}
	k.want(t, "while Kafka is away", ack.Range{From: 1, To: 2})
	b.broken.Store(false)
	k.want(t, "when it is back", ack.Range{From: 1, To: 4})
}

// Kafka is silent until it answers, whatever is filtered meanwhile.
func TestOnlyKafkaAnswers(t *testing.T) {
	b, k, run := ackBench(t, func(c *Config) { c.Brokers = []string{"127.0.0.1:1"} })
	filtered := strings.Replace(event(9), "kms.amazonaws.com", "s3.amazonaws.com", 1)
	b.flush(OK, numberedRecord(run, 1, filtered))
	k.want(t, "a filtered record", ack.Range{From: 1, To: 2})
	if got := b.o.health(run).Silent; got < neverAnswered {
		t.Errorf("silent for %v, although Kafka is not there", got)
	}
	b, k, run = ackBench(t, nil)
	b.flush(OK, numberedRecord(run, 1, event(0)))
	k.want(t, "an event", ack.Range{From: 1, To: 2})
	if got := b.o.health(run).Silent; got < 0 || got >= neverAnswered {
		t.Errorf("silent for %v after an answer", got)
	}
}

// A flush that panics gives its attempt back: the chunk is unfinished until it is delivered.
func TestFlushPanics(t *testing.T) {
	b, k, run := ackBench(t, nil)
	c := numberedRecord(run, 1, event(0))
	unfinished := func(what string, want int) {
		t.Helper()
		if n, _ := b.o.attempts.unfinished(run, time.Now()); n != want {
			t.Errorf("%s: %d chunks are unfinished, want %d", what, n, want)
		}
	}
	b.o.attempts.keep(c, b.o.attempts.take(c), time.Now())
	workers := b.o.workers.New
	b.o.workers.New = func() any { panic("outside a record") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		b.o.Flush(c, "t")
	}()
	unfinished("after a panic", 1)
	b.o.workers.New = workers
	b.flush(OK, c)
	k.want(t, "the chunk", ack.Range{From: 1, To: 2})
	unfinished("in the end", 0)
}

// Kafka acknowledges records of an attempt while a flush takes it again. The race detector
// judges.
func TestAttemptTakenWhileAcknowledged(t *testing.T) {
	b, k, run := ackBench(t, nil)
	c := numberedRecord(run, 7, event(0))
	a := b.o.attempts.take(c)
	a.begin(run, 7)
	ended := make(chan struct{})
	var acknowledging sync.WaitGroup
	acknowledging.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				a.done(a.add(), nil)
			}
		}
	})
	a.pos = len(c) // nothing is left to produce
	for range 1000 {
		b.o.attempts.keep(c, a, time.Now())
		b.o.Flush(c, "t")
	}
	close(ended)
	acknowledging.Wait()
	a.end(len(c))
	b.o.attempts.ledger.report(a)
	k.want(t, "in the end", ack.Range{From: 7, To: 8})
}

// A chunk that Fluent Bit does not hand over again in time does not stay unfinished. Neither
// does one of which Kafka has everything but what it refuses: that is held.
func TestAttemptsAreAbandoned(t *testing.T) {
	var s attempts
	now, run := time.Unix(1_800_000_000, 0), ack.Run{1}
	count := func(what string, after time.Duration, n, abandoned int) {
		t.Helper()
		if gotN, gotA := s.unfinished(run, now.Add(after)); gotN != n || gotA != abandoned {
			t.Errorf("%s: %d unfinished and %d abandoned, want %d and %d", what, gotN, gotA, n, abandoned)
		}
	}
	a, b := []byte("a"), []byte("b")
	s.ledger.tell, s.ledger.connected = func(ack.Run, []ack.Range) {}, listens
	s.numbers = func(chunk []byte, f func(ack.Run, uint64)) {
		switch string(chunk) {
		case "a", "b":
			f(run, 1)
		case "of another in_kms":
			f(ack.Run{2}, 1)
		}
	}
	s.keep(a, s.take(a), now)
	s.keep(b, s.take(b), now)
	for _, other := range []string{"of another in_kms", "of tail"} {
		s.keep([]byte(other), s.take([]byte(other)), now.Add(time.Hour))
	}
	count("both wait", time.Minute, 2, 0)
	again := s.take(b)
	count("one is with a flush", 2*time.Minute, 1, 1)
	s.keep(b, again, now)
	count("its second pause is longer", longestBackoff(2)-time.Second, 1, 0)
	s.finish(s.take(b))
	count("it is delivered", 0, 0, 0)
	if got := longestBackoff(100); got != 2060*time.Second {
		t.Errorf("the longest wait is %v", got)
	}
	refused := s.take(a)
	refused.begin(run, 1)
	refused.done(refused.add(), errors.New("refused"))
	s.keep(a, refused, now)
	if got := s.take(a); got != refused || got.tries != 1 {
		t.Errorf("a chunk of which a part was refused does not go on where it stopped: %+v", got)
	}
	count("what was refused is with a flush again", 0, 1, 0)
	refused.end(1)
	refused.whole = true
	s.keep(a, refused, now)
	count("Kafka has the rest", 0, 0, 0)
	if h, _ := s.health(run, now); !slices.Equal(h.Held, []ack.Range{{From: 1, To: 2}}) {
		t.Errorf("held are %v, want what was refused", h.Held)
	}
	if h, _ := s.health(ack.Run{2}, now); len(h.Held) > 0 {
		t.Errorf("held are %v for another in_kms", h.Held)
	}
	count("Fluent Bit has given it up", time.Hour, 0, 1)
	if h, _ := s.health(run, now); len(h.Held) > 0 {
		t.Errorf("held are %v of a chunk that was given up", h.Held)
	}
}

// Chunks of a run that has ended are a backlog until a while after the last of them.
func TestChunksOfEndedRunsAreABacklog(t *testing.T) {
	b, k, run := ackBench(t, nil)
	for !b.o.acks.Connected(run) {
		time.Sleep(time.Millisecond)
	}
	b.flush(OK, numberedRecord(run, 1, event(0)), flat(event(1)))
	k.want(t, "a chunk of the run", ack.Range{From: 1, To: 2})
	s := &b.o.attempts
	backlog := func(what string, after time.Duration, want bool) {
		t.Helper()
		if h, _ := s.health(run, time.Now().Add(after)); h.Backlog != want {
			t.Errorf("%s: a backlog is %v", what, h.Backlog)
		}
	}
	backlog("a chunk of the run, and of tail", 0, false)
	old := numberedRecord(ack.Run{9}, 1, event(2))
	a := s.take(old)
	backlog("a chunk of an older run", time.Minute, true)
	s.keep(old, a, time.Now())
	backlog("it waits", time.Minute, true)
	b.flush(OK, old)
	backlog("the next may come", 0, true)
	backlog("no other comes", time.Hour, false)
	old = numberedRecord(ack.Run{9}, 2, event(3))
	a = s.take(old)
	a.begin(ack.Run{9}, 2)
	a.done(a.add(), errors.New("refused"))
	a.whole = true
	s.keep(old, a, time.Now())
	backlog("Kafka refuses the last", time.Minute, false)
}

// A chunk that waits for its turn longer than a flush may take is unfinished, once.
func TestWaitingChunksAreUnfinished(t *testing.T) {
	b, k, run := ackBench(t, func(c *Config) { c.FlushTimeout = time.Minute })
	s, soon, later := &b.o.attempts, time.Now(), time.Now().Add(2*time.Minute)
	c := numberedRecord(run, 1, event(0))
	unfinished := func(what string, now time.Time, run ack.Run, want int) {
		t.Helper()
		if n, _ := s.unfinished(run, now); n != want {
			t.Errorf("%s: %d chunks are unfinished, want %d", what, n, want)
		}
	}
	if b.o.turns.Acquire(t.Context(), 1) != nil {
		t.Fatal("the turn is taken")
	}
	d := b.o.Begin(c, "t", func() {})
	unfinished("at once", soon, run, 0)
	unfinished("after flush_timeout", later, run, 1)
	unfinished("for another in_kms", later, ack.Run{6}, 0)
	b.o.turns.Release(1)
	if code := d.Wait(); code != OK {
		t.Errorf("code %d", code)
	}
	k.want(t, "the chunk", ack.Range{From: 1, To: 2})
	unfinished("when it is delivered", later, run, 0)
	a := s.take(c)
	s.keep(c, a, later)
	unfinished("given back", later, run, 1)
	again := s.take(c)
	unfinished("with its second flush", later, run, 1)
	s.finish(again)
	unfinished("in the end", later, run, 0)
}

func TestParseAckPath(t *testing.T) {
	dir := t.TempDir()
	parse := func(acks, path string) (Config, error) {
		return ParseConfig(property.NewReader(func(name string) string {
			return map[string]string{"brokers": "a:1", "acks": acks, "ack_path": path}[name]
		}))
	}
	c, err := parse("all", dir+"/s, "+dir+"/t")
	if err != nil || !slices.Equal(c.AckPaths, []string{dir + "/s", dir + "/t"}) {
		t.Errorf("got %q, %v", c.AckPaths, err)
	}
	for _, f := range [][3]string{
		{"leader", dir + "/s", `property "acks" with value "leader": want all, because ack_path is set`},
		{"all", "s", "an absolute path"},
		{"all", dir + "/s," + dir + "/s", "each socket once"},
		{"all", strings.Repeat(" "+dir+"/s", 9), "at most 8 sockets"},
	} {
		if _, err := parse(f[0], f[1]); err == nil || !strings.Contains(err.Error(), f[2]) {
			t.Errorf("acks %s, ack_path %q: %v, want %q", f[0], f[1], err, f[2])
		}
	}
}
