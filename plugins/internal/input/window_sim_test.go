package input

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
)

// Whatever is lost, reordered, repeated and read again, an object is done only when it
// is delivered as a whole, and in the end every object is.
func TestWindowSimulation(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		h := newHarbor(t, func(c *Config) {
			c.AckWindow, c.AckTimeout = 1<<(10+rnd.IntN(8)), 20*time.Second
			if rnd.IntN(2) == 0 {
				c.AckBy = []string{"x", "yy"}
			}
		})
		var todo []*flight
		for i := range 12 {
			todo = append(todo, h.object(fmt.Sprint(i), rnd.Uint64N(300)))
		}
		var waiting []block
		var late []record // they are acknowledged a step after the others, and again
		dropped := rnd.IntN(40)
		var held []record // Kafka refuses them, and the outputs have them
		for step := 0; len(h.done) < 12; step++ {
			if step > 20_000 {
				t.Fatalf("seed %d: only %q are done", seed, h.done)
			}
			if len(waiting) == 0 && len(todo) > 0 {
				waiting, todo = h.blocks(todo[0], 1+rnd.IntN(40)), todo[1:]
			}
			var got []record
			if room, empty := h.w.room(false); len(waiting) > 0 && (empty || len(waiting[0].buf) <= room) {
				got = h.hand(waiting[0])
				waiting = waiting[1:]
			}
			if len(got) > 0 && rnd.IntN(4) == 0 {
				held, got = append(held, got[0]), got[1:]
			}
			if len(held) > 0 && rnd.IntN(30) == 0 {
				if rnd.IntN(2) == 0 { // otherwise Fluent Bit has given them up
					h.ack("x", held...)
					h.ack("yy", held...)
				}
				held = nil
			}
			for _, name := range []string{"x", "yy"} {
				acked := slices.Concat(got, late)
				acked = slices.DeleteFunc(acked, func(record) bool { return rnd.IntN(100) < dropped })
				rnd.Shuffle(len(acked), func(i, j int) { acked[i], acked[j] = acked[j], acked[i] })
				h.ack(name, acked...)
			}
			late = nil
			if len(got) > 0 && rnd.IntN(4) == 0 {
				late = got[rnd.IntN(len(got)):]
			}
			health := ack.Health{Unfinished: uint64(rnd.IntN(8) / 7), Held: rangesOf(held)}
			h.pass(time.Duration(1+rnd.IntN(30))*time.Second, health, "x", "yy")
			again := h.w.again(h.now)
			for _, r := range held {
				if slices.ContainsFunc(again, func(f *flight) bool { return f.object.Name == r.object }) {
					t.Fatalf("seed %d: %q comes again, and its record %d is held", seed, r.object, r.place)
				}
			}
			todo = append(todo, again...)
		}
		if bytes, parked, _ := h.w.snapshot(); parked != 0 || bytes != 0 || len(h.w.parcels) != 0 {
			t.Errorf("seed %d: %d bytes, %d parked, %d parcels at the end", seed, bytes, parked, len(h.w.parcels))
		}
	}
}
