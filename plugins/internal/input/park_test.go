package input

import (
	"slices"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/processor/source"
)

// An object with lost records is parked at its source, so that it holds up no other.
func TestWindowParksAtTheSource(t *testing.T) {
	h := newHarbor(t, nil)
	var parked []string
	h.w.park = func(o source.Object) { parked = append(parked, o.Name) }
	r := h.hand(h.blocks(h.object("a", 10), 4)...)
	h.ack("x", r[:9]...)
	h.ack("x", h.hand(h.blocks(h.object("b", 3), 4)...)...)
	h.pass(h.w.cfg.AckTimeout+3*time.Second, ack.Health{}, "x")
	h.want("acknowledged", "b")
	h.pass(time.Hour, ack.Health{}, "x")
	if again := h.w.again(h.now); again != nil || len(parked) != 0 {
		t.Fatalf("%d flights come again before their source knows", len(again))
	}
	h.w.tell()
	if !slices.Equal(parked, []string{"a"}) {
		t.Errorf("parked are %q, want a", parked)
	}
	h.ack("x", h.hand(h.blocks(h.w.again(h.now)[0], 4)...)...)
	h.want("acknowledged at last", "a")
}
