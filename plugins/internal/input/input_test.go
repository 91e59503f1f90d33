package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/schemas/decoding"
)

func TestInputHandsOverEveryEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1.json.gz", gzipped(records(event("a"), other("x"), event("b"))))
		b.write("2.json", event("c")+"\n"+event("d")+"\n")
		b.start()
		pass(0)
		b.want() // seen once: perhaps still being written
		pass(b.cfg.PollInterval)
		b.want(event("a"), event("b"), event("c"), event("d"))
		pass(time.Hour)
		b.want()
		b.write("3.json", event("e"))
		pass(2 * b.cfg.PollInterval)
		b.want(event("e"))
		b.stop()
		want := Stats{Objects: 3, Events: 6, Filtered: 1, HandedOver: 5, FilteredBy: decoding.Filtered{decoding.NotWanted: 1}}
		if got := b.in.Stats(); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

func TestInputFilterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.All = true
		b.write("1", records(event("a"), other("x")))
		b.start()
		pass(b.cfg.PollInterval)
		b.want(event("a"), other("x"))
		b.stop()
	})
}

func TestInputCheckpointWaitsUntilHandOverHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1", event("a"))
		b.write("2", other("x")) // a file without any record to pass on
		b.start()
		pass(time.Hour) // read, not handed over
		if _, err := os.Stat(b.cfg.Checkpoint); err == nil {
			t.Error("the checkpoint moved before anything was handed over")
		}
		b.want(event("a"))
		pass(b.cfg.Settle - time.Nanosecond)
		b.stop()

		b.start() // not settled: the next run repeats it
		pass(b.cfg.PollInterval)
		b.want(event("a"))
		pass(b.cfg.Settle + b.cfg.PollInterval)
		b.stop()

		b.start() // settled: it does not
		pass(time.Hour)
		b.want()
		b.stop()
		if got := b.in.Stats(); got != (Stats{}) {
			t.Errorf("files that are done were read: %+v", got)
		}
	})
}

func TestInputPauseAndClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1", event("a"))
		b.start()
		b.in.Pause()
		pass(time.Hour)
		b.want()
		b.in.Resume()
		b.want(event("a"))
		b.write("2", event("b"))
		pass(time.Hour)
		b.in.Closing()
		b.want()
		b.in.Resume() // must not undo Closing
		b.want()
		b.stop()
		if got := b.in.Stats(); got.Queued != 1 || got.HandedOver != 1 {
			t.Errorf("stats %+v, want one handed over and one left", got)
		}
	})
}

func TestInputBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.QueueRecords, b.cfg.BatchBytes = 20, 1000
		var want []string
		for i := range 500 {
			want = append(want, event(fmt.Sprintf("id-%d", i)))
		}
		b.write("1", records(want...))
		b.start()
		var got []string
		for len(got) < len(want) {
			pass(b.cfg.PollInterval)
			if n := b.in.Stats().Queued; n > 25 { // the queue, and the block that waits for room
				t.Fatalf("%d events are queued, the bound is 20 and one block", n)
			}
			batch := b.drain()
			if len(batch) > 5 {
				t.Fatalf("one callback returned %d events of 250 bytes, the bound is 1,000 bytes or a block of 5", len(batch))
			}
			got = append(got, batch...)
		}
		if !slices.Equal(got, want) {
			t.Error("events were lost, repeated or reordered under backpressure")
		}
		b.stop()
	})
}

func TestInputStopsWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.QueueRecords = 1
		b.write("1", records(event("a"), event("b"), event("c")))
		b.start()
		pass(time.Hour)
		b.stop()
		if err := b.in.Stop(); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		if got := b.in.Stats(); got.Objects != 0 {
			t.Errorf("a file that was not read to its end counts as read: %+v", got)
		}
	})
}

func TestInputStopWithoutStart(t *testing.T) {
	b := newBench(t)
	in, err := New(b.cfg, logging.New("", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
}

func TestInputBadRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.write("1", records(event("a"), `{"eventSource":"x","eventSource":"y"}`, event("b")))
		b.write("2", gzipped(event("c"))[:40])
		b.write("3", strings.Repeat("[]\nnot JSON\n", 10)+event("d"))
		b.start()
		pass(b.cfg.PollInterval)
		b.want(event("a"), event("b"), event("d"))
		pass(time.Hour)
		b.stop()

		content, err := os.ReadFile(b.cfg.DeadLetter)
		if err != nil {
			t.Fatal(err)
		}
		reasons := map[string]int{}
		lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		for _, line := range lines {
			var d struct {
				Stage, Reason, Detail, Object string
				Index                         int
				Offset                        int64
			}
			if err := json.Unmarshal(line, &d); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if d.Stage != "in_kms" || d.Detail == "" || !strings.HasPrefix(d.Object, b.dir) {
				t.Errorf("a dead letter without its place: %s", line)
			}
			if d.Reason == "duplicate_key" && (d.Index != 1 || d.Offset != int64(len(`{"Records":[`+event("a")+","))) {
				t.Errorf("the bad record's place is %d at %d", d.Index, d.Offset)
			}
			reasons[filepath.Base(d.Object)+" "+d.Reason]++
		}
		if reasons["1 duplicate_key"] != 1 || reasons["2 truncated"] != 1 || reasons["3 unknown_shape"] == 0 {
			t.Errorf("dead letters: %v", reasons)
		}
		if got := b.in.Stats().BadRecords; got != int64(len(lines)) {
			t.Errorf("%d bad records are counted, %d are in the file", got, len(lines))
		}
		warnings := 0
		for _, line := range b.lines {
			if strings.Contains(line, `/3`) {
				warnings++
			}
		}
		if warnings > maxWarnings+1 {
			t.Errorf("%d log lines about one file", warnings)
		}
		b.start() // bad records do not make a file come again
		pass(time.Hour)
		b.want()
		b.stop()
	})
}

// A damaged object is a dead letter at once; other failures are retried until they pass.
func TestInputGivesUpOnlyWhatIsDamaged(t *testing.T) {
	b := newBench(t)
	in, err := New(b.cfg, logging.New("", nil, func(_ logging.Level, s string) { b.lines = append(b.lines, s) }))
	if err != nil {
		t.Fatal(err)
	}
	b.in = in
	open := func(name string, body io.Reader, err error) {
		in.read(&flight{object: source.Object{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(body), err }}})
	}
	open("archived", nil, &source.Rejected{Reason: source.ReasonArchived, Detail: "restore it"})
	open("evil", panicking{}, nil)
	open("forbidden", nil, source.Denied(errors.New("no such luck")))
	open("broken", io.MultiReader(strings.NewReader(event("a")+"\n"), failing{}), nil)
	if got := in.Waiting(); got.Size != 2 {
		t.Errorf("%+v wait, want two", got)
	}
	b.stop()
	content, err := os.ReadFile(b.cfg.DeadLetter)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(content); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"reason":"object_archived"`) || !strings.Contains(got, `"reason":"reader_panicked"`) {
		t.Errorf("the dead letters are\n%s", got)
	}
	log := strings.Join(b.lines, "\n")
	for _, part := range []string{"a bug", "giving it up", `cannot read "forbidden" (forbidden): no such luck; it is tried again`, "the disk is gone"} {
		if !strings.Contains(log, part) {
			t.Errorf("the log does not say %q:\n%s", part, log)
		}
	}
}

// An object that is given up while its dead letter cannot be written is read again in the
// same run, and its dead letter is written when that is possible.
func TestInputGivesNothingUpWithoutADeadLetter(t *testing.T) {
	b := newBench(t)
	b.cfg.DeadLetter = b.state // a folder
	in, err := New(b.cfg, logging.New("", nil, func(logging.Level, string) {}))
	if err != nil {
		t.Fatal(err)
	}
	b.in = in
	archived := source.Object{Name: "archived", Open: func() (io.ReadCloser, error) {
		return nil, &source.Rejected{Reason: source.ReasonArchived, Detail: "restore it"}
	}}
	for range 3 {
		in.read(&flight{object: archived})
		if st, w := in.Stats(), in.Waiting(); st.GivenUp != 0 || w.Size != 1 {
			t.Errorf("%d given up, %+v wait, want one that waits", st.GivenUp, w)
		}
	}
	in.dead.path = filepath.Join(b.state, "dead")
	in.read(&flight{object: archived})
	if st := in.Stats(); st.GivenUp != 1 || st.BadRecords != 1 {
		t.Errorf("with room for its dead letter: %+v", st)
	}
	b.stop()
}

// A log of many failures stays short.
func TestFailuresAreLoggedSparingly(t *testing.T) {
	var lines []string
	log := logging.New("", nil, func(_ logging.Level, s string) { lines = append(lines, s) })
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var f failures
	for range 24 * 3600 {
		f.note(now, log, "a", source.Denied(errors.New("no")), source.RetryStats{Size: 1})
		log.Emit()
		now = now.Add(time.Second)
	}
	if n := len(lines); n < 50 || n > 200 {
		t.Errorf("%d lines in a day", n)
	}
	if !strings.Contains(strings.Join(lines, "\n"), "so could 3595 more in 1h0m0s") {
		t.Errorf("the last lines are %q", lines[len(lines)-5:])
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a bug") }

func TestInputDeadLettersThatCanNotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cfg.DeadLetter = b.state // a folder: it cannot be written to
		b.write("1", records(event("a"), `{"x":1,"x":2}`))
		b.start()
		pass(time.Hour)
		if got := b.drain(); len(got) < 2 {
			t.Errorf("tried %d times in an hour", len(got))
		}
		b.stop()
		content, err := os.ReadFile(b.cfg.Checkpoint)
		if err != nil || !strings.Contains(string(content), `"done":[]`) || !strings.Contains(string(content), `"verdict":"busy"`) {
			t.Errorf("a file whose bad records are nowhere is kept as %s, %v", content, err)
		}
	})
}

func TestInputReportsPollErrorsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		pass(0)
		moved := b.dir + ".away"
		for _, step := range [][2]string{{b.dir, moved}, {moved, b.dir}} {
			if err := os.Rename(step[0], step[1]); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour)
		}
		b.stop()
		if len(b.lines) != 3 || !strings.HasPrefix(b.lines[1], "2 cannot read") || !strings.HasPrefix(b.lines[2], "3 all of") {
			t.Errorf("the log says %q, want one warning behind the first line, and one when it is over", b.lines)
		}
	})
}

func TestRecordTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // the bubble's clock stands still
		for text, want := range map[string]time.Time{
			"2026-03-01T12:00:00Z": time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
			"2040-01-01T00:00:00Z": now,
			"1960-01-01T00:00:00Z": now,
			"yesterday":            now,
			"":                     now,
		} {
			if got := recordTime(text); !got.Equal(want) {
				t.Errorf("%q became %v, want %v", text, got, want)
			}
		}
	})
}
