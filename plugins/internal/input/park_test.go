package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/schemas/decoding"
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
	feed.Feed
	list []source.Object
}

func (f *expiringFeed) Expiring() []source.Object { return slices.Clone(f.list) }

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
	in.feed = &expiringFeed{Feed: in.feed, list: []source.Object{
		{Name: "s3://trail/b"}, {Name: "s3://trail/a"}, {Name: "queue#m1", Inline: bytes.Repeat([]byte("x"), decoding.MaxRawBytes+1)},
	}}
	in.dead.path = path + "/none/x" // cannot be written
	in.recordExpiring(time.Now())
	in.dead.path = path
	in.finished = []source.Object{{Name: "s3://trail/b"}} // acknowledged meanwhile
	in.recordExpiring(time.Now())
	in.recordExpiring(time.Now())
	b, err := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if n := strings.Count(string(b), `"reason":"not_acknowledged"`); err != nil || n != 2 || len(lines) != 2 || !strings.Contains(lines[0], "s3://trail/a") {
		t.Fatalf("the dead letters are %q, %v", b, err)
	}
	if l := letterOf(t, lines[1]); len(l.Raw) != decoding.MaxRawBytes || !l.Cut || l.Object != "queue#m1" {
		t.Errorf("of an object inside a message %d bytes are kept, cut is %v", len(l.Raw), l.Cut)
	}
}

// The dead letter of an object inside a message that cannot be read has its bytes.
func TestInlineObjectsAreKept(t *testing.T) {
	b := newBench(t)
	in, err := New(b.cfg, logging.New("", nil, func(logging.Level, string) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Stop() })
	in.dead.path = filepath.Join(t.TempDir(), "dead")
	in.feed = lastFeed{in.feed}
	r := &reading{in: in, object: source.Object{Name: "queue#m1", Inline: []byte("the text")}, failed: errors.New("damaged")}
	if !r.mend() {
		t.Fatal("its dead letter is not written")
	}
	text, err := os.ReadFile(in.dead.path)
	if l := letterOf(t, string(text)); err != nil || l.Raw != "the text" || l.Reason != string(decoding.ReasonRead) {
		t.Errorf("the dead letter is %q, %v", text, err)
	}
}

// letter is a line of the dead-letter file.
type letter struct {
	Object, Reason, Raw string
	Cut                 bool
}

func letterOf(t *testing.T, line string) (l letter) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// lastFeed gives every object up.
type lastFeed struct{ feed.Feed }

func (lastFeed) Retry(source.Object, error) bool { return false }
