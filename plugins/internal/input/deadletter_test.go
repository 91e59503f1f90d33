package input

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/linefile"
	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/schemas/wire"
)

func TestDeadLettersRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	write := func(max int64, details ...string) {
		t.Helper()
		l := deadLetters{path: path, max: max}
		for _, d := range details {
			if err := l.write(&wire.DeadLetter{Stage: stage, Reason: "x", Detail: d}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	details := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			_, rest, _ := strings.Cut(line, `"detail":"`)
			detail, _, _ := strings.Cut(rest, `"`)
			got = append(got, detail)
		}
		return strings.Join(got, " ")
	}
	write(1<<20, "a", "b")
	write(1<<20, "c") // the next run appends
	if got := details(path); got != "a b c" {
		t.Errorf("the file holds %q", got)
	}
	write(250, "d", "e", "f") // a line has about 110 bytes: two fit
	if got := details(path); got != "f" {
		t.Errorf("after rotating the file holds %q, want f", got)
	}
	if got := details(path + ".1"); got != "d e" {
		t.Errorf("the older file holds %q", got)
	}
}

// Lines that cannot be synced are not forgotten when the file is full.
func TestDeadLettersThatCannotBeSynced(t *testing.T) {
	l := deadLetters{path: filepath.Join(t.TempDir(), "dead"), max: 1 << 20}
	if err := l.write(&wire.DeadLetter{Stage: stage, Reason: "x", Detail: "a"}); err != nil {
		t.Fatal(err)
	}
	l.f.Close() // its Sync fails from now on
	l.max = 1
	if err := l.write(&wire.DeadLetter{Stage: stage, Reason: "x", Detail: "b"}); err == nil {
		t.Error("a dead letter was taken behind lines that are not safe")
	}
	if err := l.sync(); err == nil {
		t.Error("lines that were never synced count as safe")
	}
}

func TestDeadLettersWithoutAFile(t *testing.T) {
	l := deadLetters{}
	if err := l.write(&wire.DeadLetter{}); err != nil {
		t.Error(err)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// lateLetter is a progress in which a reader ends an object with a dead letter just before
// the finished objects are requested.
type lateLetter struct {
	*clock
	t    *testing.T
	in   *Input
	name string
}

func (p *lateLetter) done(time.Time) (list []source.Object) {
	if p.name != "" {
		if err := p.in.dead.write(&wire.DeadLetter{Stage: stage, Reason: "x", Object: p.name}); err != nil {
			p.t.Error(err)
		}
		list = append(list, source.Object{Name: p.name})
	}
	p.name = ""
	return list
}

// doneFeed is a feed that records finished objects, and checks that their dead letters are
// synced.
type doneFeed struct {
	feed.Feed
	t    *testing.T
	in   *Input
	done []string
}

func (f *doneFeed) Done(o source.Object) {
	if f.in.dead.dirty {
		f.t.Errorf("%s is done, and its dead letter is not synced", o.Name)
	}
	f.done = append(f.done, o.Name)
}

// An object is done after its dead letters. While these cannot be synced the feed still
// saves, to keep its queue messages hidden.
func TestDoneBehindDeadLetters(t *testing.T) {
	b := newBench(t)
	in, err := New(b.cfg, logging.New("", nil, func(logging.Level, string) {}))
	if err != nil {
		t.Fatal(err)
	}
	p, f := &lateLetter{clock: &clock{}, t: t, in: in}, &doneFeed{Feed: in.feed, t: t, in: in}
	in.progress, in.feed = p, f
	saved := 0
	settle := func(name string) {
		p.name = name
		in.settle(t.Context(), time.Now(), func(context.Context) error { saved++; return nil })
	}
	settle("a")
	if len(f.done) != 1 || saved != 1 {
		t.Errorf("done are %q after %d saves, want a after one", f.done, saved)
	}
	good := in.dead.f
	bad, err := linefile.Open(filepath.Join(b.state, "bad"))
	if err != nil {
		t.Fatal(err)
	}
	p.name = "b"
	in.dead.f = bad
	p.done(time.Now()) // it is written, and its file then fails
	if err := bad.Close(); err != nil {
		t.Fatal(err)
	}
	in.finished = append(in.finished, source.Object{Name: "b"})
	settle("")
	settle("")
	if len(f.done) != 1 || saved != 3 {
		t.Errorf("done are %q after %d saves, want a alone after three", f.done, saved)
	}
	in.dead.f = good
	settle("c")
	if !slices.Equal(f.done, []string{"a", "b", "c"}) {
		t.Errorf("done are %q in the end", f.done)
	}
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
}
