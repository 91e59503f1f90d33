package input

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
)

// event returns the JSON of a KMS event, with white space and an unknown field
// that must survive.
func event(id string) string {
	return fmt.Sprintf(`{"eventVersion":"1.11", "eventTime":"2026-03-01T12:00:00Z","eventSource":"kms.amazonaws.com",`+
		`"eventName":"Decrypt","awsRegion":"eu-west-1","recipientAccountId":"111122223333","eventID":%q,"later":1.10}`, id)
}

// other returns an event of a service that Keytrail is not about.
func other(id string) string {
	return strings.Replace(event(id), "kms.amazonaws.com", "s3.amazonaws.com", 1)
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func records(events ...string) string { return `{"Records":[` + strings.Join(events, ",") + `]}` }

// bench is one Input over a directory, in a synctest bubble.
type bench struct {
	t     *testing.T
	dir   string
	state string
	cfg   Config
	in    *Input
	lines []string
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), state: t.TempDir(), cfg: DefaultConfig(SourceFile)}
	b.cfg.Path = b.dir
	b.cfg.Checkpoint = filepath.Join(b.state, "cp")
	b.cfg.DeadLetter = filepath.Join(b.state, "dead")
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) start() {
	b.t.Helper()
	in, err := New(b.cfg, logging.New("", nil, func(v logging.Level, s string) {
		b.lines = append(b.lines, fmt.Sprintf("%d %s", v, s))
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.in = in
	in.Start()
}

func (b *bench) stop() {
	b.t.Helper()
	if err := b.in.Stop(); err != nil {
		b.t.Fatal(err)
	}
	b.in.log.Emit()
	s := b.in.Stats()
	if s.Events != s.Filtered+s.HandedOver+s.Queued+s.Known {
		b.t.Errorf("the counts do not add up: %+v", s)
	}
}

// pass lets fake time go by and everything that is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// drained returns what one callback hands over.
func drained(in *Input) (out []byte) {
	n := in.Drain(func(n int) []byte { out = make([]byte, n); return out })
	return out[:n]
}

// drain returns the JSON of what one callback hands over.
func (b *bench) drain() []string {
	b.t.Helper()
	var got []string
	var w chunk.Walker
	w.Reset(drained(b.in), 0)
	for e := (chunk.Entry{}); w.Next(&e); {
		if e.Bad != "" || !e.Placed {
			b.t.Fatalf("not in_kms's record: %+v", e)
		}
		got = append(got, string(e.JSON))
	}
	return got
}

func (b *bench) want(want ...string) {
	b.t.Helper()
	if got := b.drain(); !slices.Equal(got, want) {
		b.t.Errorf("handed over\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
