package input

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
)

// A queue in Fluent Bit that is older than the timeout is not a loss, as long as it moves:
// Kafka is slow. A record is lost when later ones were delivered before it, or when the queue
// stands still.
func TestWindowSlowIsNotLost(t *testing.T) {
	h := newHarbor(t, func(c *Config) { c.AckBy = []string{"x", "yy"} })
	timeout := h.w.cfg.AckTimeout
	r := h.hand(h.blocks(h.object("a", 100), 1)...)
	h.pass(time.Second, ack.Health{}, "x", "yy")
	for i, one := range r[:90] { // three records in a timeout
		if i != 10 {
			h.ack("x", one)
		}
		h.ack("yy", one)
		h.pass(timeout/3, ack.Health{}, "x", "yy")
		open := len(r) - i - 1
		if i >= 10 && i < 13 {
			open++ // until the queue has passed it for as long as the timeout
		}
		if got := len(h.w.parcels) - h.w.closed; got < open || i > 14 && got != open {
			t.Fatalf("%d parcels are open after %d records, want %d", got, i+1, open)
		}
	}
	if got := h.w.parcels[0].of.lost.List(); !slices.Equal(got, []ack.Range{{From: 10, To: 11}}) {
		t.Errorf("lost are the records %v, want the one that later ones have passed", got)
	}
	h.pass(timeout+2*time.Second, ack.Health{}, "x", "yy")
	again := h.w.again(h.now)
	if len(again) != 1 || !slices.Equal(again[0].only.List(), []ack.Range{{From: 10, To: 11}, {From: 90, To: 100}}) {
		t.Fatalf("%d flights come again", len(again))
	}
	h.ack("x", h.hand(h.blocks(again[0], 1)...)...)
	h.pass(timeout/2, ack.Health{}, "x", "yy")
	h.want("only one of two has acknowledged")
	if n := len(h.w.sets["x"].marks); n > maxMarks {
		t.Errorf("%d marks", n)
	}
}

// Records that an output has and Kafka refuses are not lost: they are not handed over again,
// and those of other objects are.
func TestHeldRecordsAreNotLost(t *testing.T) {
	h := newHarbor(t, nil)
	timeout := h.w.cfg.AckTimeout
	a, b := h.hand(h.blocks(h.object("a", 10), 4)...), h.hand(h.blocks(h.object("b", 10), 4)...)
	health := ack.Health{Held: rangesOf(a[2:3])}
	h.pass(2*timeout, health, "x")
	if again := h.w.again(h.now); len(again) > 0 {
		t.Errorf("%d objects come again, although Kafka may refuse all", len(again))
	}
	h.ack("x", append(append(a[3:], a[:2]...), append(b[:5:5], b[6:]...)...)...)
	h.ack("x", h.hand(h.blocks(h.object("c", 3), 4)...)...)
	h.pass(2*timeout, health, "x")
	again := h.w.again(h.now)
	if len(again) != 1 || again[0].object.Name != "b" || !slices.Equal(again[0].only.List(), []ack.Range{{From: 5, To: 6}}) {
		t.Fatalf("%d objects come again, want the lost record of b", len(again))
	}
	h.ack("x", h.hand(h.blocks(again[0], 4)...)...)
	h.want("Kafka refuses a record of a", "c", "b")
	h.pass(2*timeout, ack.Health{}, "x")
	again = h.w.again(h.now)
	if len(again) != 1 || again[0].object.Name != "a" {
		t.Fatalf("%d objects come again, want a, which the output has no more", len(again))
	}
	h.ack("x", h.hand(h.blocks(again[0], 4)...)...)
	h.want("in the end", "a")
}

// An output that is busy with older runs longer than they can be holds nothing up.
func TestBacklogEnds(t *testing.T) {
	h := newHarbor(t, nil)
	h.hand(h.blocks(h.object("a", 10), 4)...)
	h.pass(longestBacklog+2*h.w.cfg.AckTimeout, ack.Health{Backlog: true}, "x")
	if again := h.w.again(h.now); len(again) != 1 {
		t.Errorf("%d objects come again, want 1", len(again))
	}
}

// A full window that does not move says why, once a minute.
func TestWindowSaysWhyItIsFull(t *testing.T) {
	for want, f := range map[string]func(h *harbor){
		`Kafka has not answered the output "x" for 1m`: func(h *harbor) { h.pass(time.Hour, ack.Health{Silent: time.Minute}, "x") },
		`3 chunks wait in the output "x"`:              func(h *harbor) { h.pass(time.Hour, ack.Health{Unfinished: 3}, "x") },
		`any out_kms is not connected`:                 func(h *harbor) { h.w.gone(1, "x"); h.pass(time.Hour, ack.Health{}) },
		`the output "x" hangs`:                         func(h *harbor) { h.pass(time.Hour, ack.Health{}) },
		`Fluent Bit refuses records`:                   func(h *harbor) { h.w.taken(false, h.now); h.pass(time.Hour, ack.Health{}, "x") },
		`Fluent Bit pauses the input`:                  func(h *harbor) { h.w.pause(true, h.now); h.pass(time.Hour, ack.Health{}, "x") },
		`Kafka refuses records`: func(h *harbor) {
			h.pass(time.Hour, ack.Health{Held: []ack.Range{{From: 3, To: 4}}}, "x")
		},
		`delivers records of a run that has ended`: func(h *harbor) { h.pass(time.Hour, ack.Health{Backlog: true}, "x") },
		`Kafka answers and acknowledges none of them`: func(h *harbor) {
			h.w.cfg.AckTimeout = 2 * time.Hour
			h.pass(time.Hour, ack.Health{}, "x")
		},
		`records of 0 objects were lost before Kafka had them`: func(h *harbor) {
			h.w.limit = 0
			h.pass(time.Hour, ack.Health{}, "x")
		},
	} {
		h := newHarbor(t, func(c *Config) { c.AckWindow = 100 })
		h.pass(time.Second, ack.Health{}, "x")
		h.hand(h.blocks(h.object("a", 10), 4)...)
		f(h)
		n := 0
		for _, line := range h.lines {
			if strings.Contains(line, want) && strings.HasPrefix(line, "nothing new is handed over: ") {
				n++
			}
		}
		if n < 58 || n > 60 {
			t.Errorf("%d lines in an hour say %q: %q", n, want, h.lines[:min(len(h.lines), 3)])
		}
	}
	h := newHarbor(t, func(c *Config) { c.AckWindow = 100 }) // full, and slow
	for i, one := range h.hand(h.blocks(h.object("a", 100), 1)...) {
		h.pass(50*time.Second, ack.Health{}, "x")
		h.ack("x", one)
		if len(h.lines) > 0 {
			t.Fatalf("after %d records, although it moves: %q", i, h.lines)
		}
	}
}
