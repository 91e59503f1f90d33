package input

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/logging"
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

// expiringFeed has an object whose message the queue will soon drop.
type expiringFeed struct {
	feed
	list []source.Object
}

func (f *expiringFeed) Expiring() []source.Object { return f.list }

func (f *expiringFeed) Recorded(o source.Object) {
	f.list = slices.DeleteFunc(f.list, func(p source.Object) bool { return p.Name == o.Name })
}

func TestExpiringObjectsAreRecorded(t *testing.T) {
	in, err := New(newBench(t).cfg, logging.New("", nil, func(logging.Level, string) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Stop() })
	path := filepath.Join(t.TempDir(), "dead")
	in.feed = &expiringFeed{feed: in.feed, list: []source.Object{{Name: "s3://trail/b"}, {Name: "s3://trail/a"}}}
	in.dead.path = path + "/none/x" // cannot be written
	in.recordExpiring(time.Now())
	in.dead.path = path
	in.finished = []source.Object{{Name: "s3://trail/b"}} // acknowledged meanwhile
	in.recordExpiring(time.Now())
	in.recordExpiring(time.Now())
	b, err := os.ReadFile(path)
	if n := strings.Count(string(b), `"reason":"not_acknowledged"`); err != nil || n != 1 || !strings.Contains(string(b), "s3://trail/a") {
		t.Errorf("the dead letters are %q, %v", b, err)
	}
}
