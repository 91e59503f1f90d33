package input

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/chunk"
	"keytrail/processor/source"
)

// harbor is a window with a clock, objects of numbered records, and a judge: what is
// done must have been acknowledged.
type harbor struct {
	t     *testing.T
	w     *window
	now   time.Time
	lines []string
	done  []string
	has   map[record][]string // the outputs that delivered a record, without its number
	count map[string]uint64
}

func newHarbor(t *testing.T, change func(*Config)) *harbor {
	cfg := DefaultConfig(SourceFile)
	cfg.AckPath = "/s"
	if change != nil {
		change(&cfg)
	}
	h := &harbor{t: t, now: time.Unix(1_800_000_000, 0), has: map[record][]string{}, count: map[string]uint64{}}
	h.w = newWindow(cfg, ack.Run{1}, h.now, func(format string, args ...any) { h.lines = append(h.lines, fmt.Sprintf(format, args...)) })
	return h
}

// object makes an object of n records.
func (h *harbor) object(name string, n uint64) *flight {
	h.count[name] = n
	return &flight{object: source.Object{Name: name}}
}

// blocks encodes the records of a flight, size of them a block, as a reader does.
func (h *harbor) blocks(f *flight, size int) (list []block) {
	b := block{of: f}
	for place := range h.count[f.object.Name] {
		r := ack.Range{From: place, To: place + 1}
		if f.only != nil && !f.only.Covers(r) {
			continue
		}
		b.add(r)
		b.buf = chunk.Append(b.buf, &chunk.Record{Object: f.object.Name, Index: int(place), Event: []byte("{}"), Numbered: true})
		if b.records++; b.records == size {
			list, b = append(list, b), block{of: f}
		}
	}
	b.end = true
	return append(list, b)
}

// record is one that was handed over.
type record struct {
	object string
	place  uint64
	number uint64
}

// hand hands blocks over and returns their records, as an output finds them.
func (h *harbor) hand(list ...block) (records []record) {
	h.t.Helper()
	h.w.hand(list, h.now)
	for _, b := range list {
		var w chunk.Walker
		w.Reset(b.buf, 0)
		for e := (chunk.Entry{}); w.Next(&e); {
			if !e.Numbered || e.Run != h.w.run {
				h.t.Fatalf("a record without a number: %+v", e)
			}
			records = append(records, record{strings.Clone(e.Object), uint64(e.Index), e.Number})
		}
	}
	return records
}

// ack acknowledges records as the output of that name, which has delivered them.
func (h *harbor) ack(name string, list ...record) {
	h.t.Helper()
	if err := h.w.acksAt(len(name), name, ack.Health{}, rangesOf(list), h.now); err != nil {
		h.t.Fatal(err)
	}
	for _, one := range list {
		one.number = 0
		h.has[one] = append(h.has[one], name)
	}
}

func rangesOf(list []record) []ack.Range {
	var r ack.Ranges
	for _, one := range list {
		r.Add(ack.Range{From: one.number, To: one.number + 1})
	}
	return r.List()
}

// pass lets time go by in which the outputs of these names speak each second, and the
// judge looks at what is done.
func (h *harbor) pass(d time.Duration, health ack.Health, names ...string) {
	h.t.Helper()
	for end := h.now.Add(d); h.now.Before(end); h.now = h.now.Add(time.Second) {
		for _, name := range names {
			if err := h.w.acksAt(len(name), name, health, nil, h.now); err != nil {
				h.t.Fatal(err)
			}
		}
		h.judge()
	}
}

// judge notes what is done, and checks that Kafka has it.
func (h *harbor) judge() {
	h.t.Helper()
	for _, o := range h.w.done(h.now) {
		h.done = append(h.done, o.Name)
		for place := range h.count[o.Name] {
			by := h.has[record{object: o.Name, place: place}]
			for _, name := range h.w.cfg.AckBy {
				if !slices.Contains(by, name) {
					h.t.Errorf("%s is done, and %s has not delivered its record %d", o.Name, name, place)
				}
			}
			if len(by) == 0 && !h.w.cfg.AcceptLoss {
				h.t.Errorf("%s is done, and nobody has delivered its record %d", o.Name, place)
			}
		}
	}
}

func (h *harbor) want(what string, done ...string) {
	h.t.Helper()
	h.judge()
	if !slices.Equal(h.done, done) {
		h.t.Errorf("%s: done are %q, want %q", what, h.done, done)
	}
	h.done = nil
}

func TestWindowDoneWhenAcknowledged(t *testing.T) {
	h := newHarbor(t, nil)
	a, b := h.blocks(h.object("a", 5), 2), h.blocks(h.object("b", 3), 10)
	ra := h.hand(a[0])
	rb := h.hand(b...)
	h.want("nothing is acknowledged")
	h.ack("x", rb[2], rb[0])
	h.want("a record of b is missing")
	h.ack("x", rb[1], rb[1])
	h.want("all of b", "b")
	h.ack("x", ra...)
	h.want("a is not handed over to its end")
	ra = h.hand(a[1:]...)
	h.ack("x", ra...)
	h.want("all of a", "a")
	h.hand(h.blocks(h.object("empty", 0), 1)...)
	h.want("an object without records", "empty")
	if bytes, parked, s := h.w.snapshot(); bytes != 0 || parked != 0 || s.acknowledged != 8 || len(h.w.parcels) != 0 || h.w.sets[""].Len() != 0 {
		t.Errorf("%d bytes, %d parked, %+v, %d parcels, %v", bytes, parked, s, len(h.w.parcels), h.w.sets[""])
	}
	h.pass(time.Hour, ack.Health{}, "x")
	h.want("an hour later")
}

func TestWindowBoundsWhatIsOnItsWay(t *testing.T) {
	h := newHarbor(t, func(c *Config) { c.AckWindow = 1000 })
	records := h.hand(h.blocks(h.object("a", 3), 1)[:3]...)
	size := h.w.bytes
	if room, empty := h.w.room(false); room != 1000-size || empty || size == 0 {
		t.Errorf("room for %d of 1000 bytes with %d on their way, empty %v", room, size, empty)
	}
	h.ack("x", records[1])
	if room, _ := h.w.room(false); room != 1000-size*2/3 {
		t.Errorf("room for %d", room)
	}
	h.hand(h.blocks(h.object("b", 50), 50)...)
	if room, empty := h.w.room(false); room != 0 || empty {
		t.Errorf("room for %d, empty %v, beyond the window", room, empty)
	}
}

func TestWindowAckBy(t *testing.T) {
	h := newHarbor(t, func(c *Config) { c.AckBy = []string{"x", "yy"} })
	r := h.hand(h.blocks(h.object("a", 4), 2)...)
	h.ack("x", r...)
	h.ack("others", r...)
	h.want("one that must acknowledge has not")
	h.ack("yy", r[:3]...)
	h.want("a record is missing")
	h.ack("yy", r[3])
	h.want("both have", "a")
	h.hand(h.blocks(h.object("b", 4), 2)...)
	h.pass(24*time.Hour, ack.Health{}, "x", "others")
	if _, parked, _ := h.w.snapshot(); parked != 0 {
		t.Error("records are lost although one of those that must acknowledge is not there")
	}
	h.w.gone(1, "x")
	h.w.gone(6, "others")
	h.pass(time.Hour, ack.Health{}, "yy")
	if !slices.ContainsFunc(h.lines, func(s string) bool { return strings.Contains(s, `the out_kms with the alias "x" is not connected`) }) {
		t.Errorf("nobody says who is missing: %q", h.lines)
	}
}

// Lost records come again, alone, at growing intervals, outside the window, until they
// are acknowledged.
func TestWindowHandsOverAgain(t *testing.T) {
	h := newHarbor(t, nil)
	timeout := h.w.cfg.AckTimeout
	r := h.hand(h.blocks(h.object("a", 10), 4)...)
	h.ack("x", r[0], r[2], r[3], r[4], r[5], r[6], r[7], r[8])
	h.pass(timeout-time.Second, ack.Health{}, "x")
	if again := h.w.again(h.now); again != nil {
		t.Errorf("%d flights come again before their time", len(again))
	}
	h.pass(3*time.Second, ack.Health{}, "x")
	var pauses []time.Duration
	for range 8 {
		began := h.now
		var again []*flight
		for again = h.w.again(h.now); again == nil; again = h.w.again(h.now) {
			h.pass(time.Second, ack.Health{}, "x")
		}
		pauses = append(pauses, h.now.Sub(began).Round(time.Minute))
		if len(again) != 1 || !slices.Equal(again[0].only.List(), []ack.Range{{From: 1, To: 2}, {From: 9, To: 10}}) {
			t.Fatalf("again comes %+v", again[0])
		}
		if bytes, parked, _ := h.w.snapshot(); bytes != 0 || parked != 1 {
			t.Errorf("%d bytes in the window, %d parked, want the one that comes again", bytes, parked)
		}
		r = h.hand(h.blocks(again[0], 4)...)
		if len(r) != 2 {
			t.Fatalf("%d records come again", len(r))
		}
		h.pass(timeout+2*time.Second, ack.Health{}, "x")
	}
	if want := []time.Duration{0, 5, 10, 20, 40, 60, 60, 60}; !slices.EqualFunc(pauses, want, func(a, b time.Duration) bool { return a == b*time.Minute }) {
		t.Errorf("the pauses are %v, want %v minutes", pauses, want)
	}
	if len(h.lines) == 0 || !strings.Contains(h.lines[0], `2 records, such as of "a"`) {
		t.Errorf("the log says %q", h.lines)
	}
	h.pass(time.Hour, ack.Health{}, "x")
	r = h.hand(h.blocks(h.w.again(h.now)[0], 1)...)
	h.ack("x", r...)
	h.want("acknowledged in the end", "a")
}

// Nothing is taken for lost while anything is not well, however long.
func TestWindowWaitsInAnOutage(t *testing.T) {
	for name, f := range map[string]func(h *harbor){
		"Kafka is silent":         func(h *harbor) { h.pass(24*time.Hour, ack.Health{Silent: time.Minute}, "x") },
		"a chunk waits":           func(h *harbor) { h.pass(24*time.Hour, ack.Health{Unfinished: 1}, "x") },
		"an older run goes first": func(h *harbor) { h.pass(longestBacklog-time.Minute, ack.Health{Backlog: true}, "x") },
		"nobody is there":         func(h *harbor) { h.w.gone(1, "x"); h.pass(24*time.Hour, ack.Health{}) },
		"it hangs":                func(h *harbor) { h.pass(24*time.Hour, ack.Health{}) },
		"another has a chunk": func(h *harbor) {
			h.pass(12*time.Hour, ack.Health{Unfinished: 1}, "yy", "x")
			h.pass(12*time.Hour, ack.Health{}, "x")
		},
		"Fluent Bit refuses": func(h *harbor) {
			h.w.taken(false, h.now)
			h.pass(24*time.Hour, ack.Health{}, "x")
			h.w.taken(true, h.now)
		},
		"Fluent Bit pauses": func(h *harbor) { h.w.pause(true, h.now); h.pass(24*time.Hour, ack.Health{}, "x") },
		"it is well for minutes": func(h *harbor) {
			for range 100 {
				h.pass(4*time.Minute, ack.Health{}, "x")
				h.pass(time.Minute, ack.Health{Unfinished: 1}, "x")
			}
		},
	} {
		h := newHarbor(t, nil)
		h.pass(time.Second, ack.Health{}, "x")
		r := h.hand(h.blocks(h.object("a", 10), 4)...)
		f(h)
		if _, parked, s := h.w.snapshot(); parked != 0 || s.again != 0 || len(h.w.again(h.now)) != 0 {
			t.Errorf("%s: %d objects are parked", name, parked)
		}
		h.ack("x", r...)
		h.want(name, "a")
	}
}

func TestWindowAcceptsLoss(t *testing.T) {
	h := newHarbor(t, func(c *Config) { c.AcceptLoss = true })
	r := h.hand(h.blocks(h.object("a", 10), 4)...)
	h.ack("x", r[:4]...)
	h.pass(h.w.cfg.AckTimeout-time.Second, ack.Health{}, "x")
	h.want("not yet")
	h.pass(3*time.Second, ack.Health{}, "x")
	h.want("after the time", "a")
	if _, parked, s := h.w.snapshot(); parked != 0 || s.accepted != 6 {
		t.Errorf("%d parked, %+v", parked, s)
	}
}

// Acknowledgements of numbers that were not handed over are ignored, with one line in the
// log, and those beside them count.
func TestWindowIgnoresWhatItDidNotHandOver(t *testing.T) {
	h := newHarbor(t, nil)
	r := h.hand(h.blocks(h.object("a", 10), 4)...)
	if err := h.w.acks(1, "x", ack.Health{}, []ack.Range{{From: 0, To: 1}}); err == nil {
		t.Error("a record 0 is acknowledged")
	}
	for _, r := range []ack.Range{{From: 1, To: 12}, {From: 11, To: 12}} {
		if err := h.w.acks(1, "x", ack.Health{}, []ack.Range{r}); err != nil {
			t.Errorf("%v: %v", r, err)
		}
	}
	h.want("nothing was acknowledged")
	if len(h.lines) != 1 || !strings.Contains(h.lines[0], "and only 10 were handed over") {
		t.Errorf("the log says %q", h.lines)
	}
	if err := h.w.acks(1, "x", ack.Health{}, []ack.Range{{From: 20, To: 22}}); err != nil {
		t.Error(err)
	}
	h.ack("x", r...)
	h.want("all is acknowledged", "a")
}

// The objects that wait are bounded: others keep their room, until objects that wait are
// handed over again, beyond a full window, and done.
func TestWindowParksBounded(t *testing.T) {
	h := newHarbor(t, func(c *Config) { c.AckWindow = 1 }) // it is full with anything
	var want []string
	for i := range maxParked + 5 {
		want = append(want, fmt.Sprint(i))
		h.hand(h.blocks(h.object(want[i], 1), 1)...)
	}
	h.pass(h.w.cfg.AckTimeout+2*time.Second, ack.Health{}, "x")
	if bytes, parked, _ := h.w.snapshot(); parked != maxParked || bytes == 0 || len(h.w.parcels) != 5 {
		t.Errorf("%d parked, %d bytes, %d parcels", parked, bytes, len(h.w.parcels))
	}
	var done []string
	batch := h.w.cfg.BatchBytes
	for round := 0; len(done) < len(want); round++ {
		if round == 10 {
			_, parked, _ := h.w.snapshot()
			t.Fatalf("only %d of %d objects are done, and %d are parked", len(done), len(want), parked)
		}
		for _, f := range h.w.again(h.now) {
			if room, _ := h.w.room(true); room != batch-h.w.repeats {
				t.Fatalf("room for %d bytes, and %d are on their way again", room, h.w.repeats)
			}
			if room, _ := h.w.room(false); room != 0 && len(h.w.parcels) > 0 {
				t.Fatalf("room for %d bytes of other objects in a full window", room)
			}
			lost := h.hand(h.blocks(f, 1)...)
			if round > 0 || f.object.Name != "7" { // it is lost once more
				h.ack("x", lost...)
			}
		}
		h.pass(2*h.w.cfg.AckTimeout, ack.Health{}, "x")
		done, h.done = append(done, h.done...), nil
	}
	slices.Sort(done)
	slices.Sort(want)
	if !slices.Equal(done, want) {
		t.Errorf("%d objects are done, want each of %d once", len(done), len(want))
	}
	if bytes, parked, _ := h.w.snapshot(); bytes != 0 || parked != 0 || h.w.repeats != 0 {
		t.Errorf("%d bytes, %d of them again, %d parked", bytes, h.w.repeats, parked)
	}
}

// While as many objects wait as may, one that is lost again keeps its place.
func TestWindowKeepsSlots(t *testing.T) {
	h := newHarbor(t, nil)
	h.w.limit = 1
	h.hand(h.blocks(h.object("a", 1), 1)...)
	h.hand(h.blocks(h.object("b", 1), 1)...)
	h.pass(h.w.cfg.AckTimeout+2*time.Second, ack.Health{}, "x")
	for range 3 {
		h.pass(2*time.Hour, ack.Health{}, "x")
		list := h.w.again(h.now)
		if len(list) != 1 || list[0].object.Name != "a" {
			t.Fatalf("%d flights come again, want that of a", len(list))
		}
		h.hand(h.blocks(list[0], 1)...)
	}
	h.w.drop(h.w.parcels[len(h.w.parcels)-1].of) // its object cannot be read any more
	h.pass(2*time.Hour, ack.Health{}, "x")
	if list := h.w.again(h.now); len(list) != 1 || list[0].object.Name != "b" {
		t.Errorf("%d flights come again, want that of b, which has the place of a", len(list))
	}
}
