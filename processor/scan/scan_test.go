package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// trail writes a generated trail and returns its directory.
func trail(t *testing.T, c generate.Config) string {
	t.Helper()
	g, err := generate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "AWSLogs")
}

type outcome struct {
	totals  Totals
	windows map[string]string // the compared contents of each window, by name
	letters []wire.DeadLetter
	records []string // windows and anomalies in order, to compare two scans
}

// scanAll scans paths; max is the number of facts that stay in memory.
func scanAll(t *testing.T, paths []string, workers, max int) outcome {
	t.Helper()
	out := outcome{windows: map[string]string{}}
	s := New(Config{
		Detect: window.DefaultConfig(), Workers: workers, Now: time.Unix(0, 0),
		DeadLetter: func(d *wire.DeadLetter) error {
			c := *d
			c.Raw = bytes.Clone(d.Raw)
			out.letters = append(out.letters, c)
			return nil
		},
	})
	s.pool.max = max
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects(paths)); err != nil {
		t.Fatal(err)
	}
	totals, err := s.Finish(func(r *window.Result) error {
		name, text := describe(r.Window)
		if _, twice := out.windows[name]; twice {
			t.Errorf("window %s came twice", name)
		}
		out.windows[name] = text
		anomalies := slices.Clone(r.Anomalies)
		for i := range anomalies {
			anomalies[i].Bound = nil // a pointer; text shows its contents
		}
		out.records = append(out.records, fmt.Sprintf("%s %s %+v", name, text, anomalies))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out.totals = totals
	return out
}

// describe writes a window's counts in the oracle's form.
func describe(w *entity.Window) (name, text string) {
	name = fmt.Sprintf("%s %q %q %s", w.Scope, w.Key, w.Principal, time.Unix(0, w.Start).UTC().Format(time.RFC3339))
	text = fmt.Sprintf("calls=%d denied=%d failed=%d", count.Get(&w.Partial, wire.CounterCalls), count.Get(&w.Partial, wire.CounterDenied), count.Get(&w.Partial, wire.CounterFailed))
	var classes []string
	for c := range kms.NumClasses {
		if n := count.Get(&w.Partial, wire.CounterClass+wire.CounterID(c)); n != 0 {
			classes = append(classes, fmt.Sprintf("%s=%d", c, n))
		}
	}
	slices.Sort(classes)
	text += " " + strings.Join(classes, " ") + " bound="
	if w.Bound != nil {
		text += w.Bound.Key
	}
	return name, text
}

// equalsOracle compares every window with the independent count.
func equalsOracle(t *testing.T, got outcome, paths []string) {
	t.Helper()
	want, err := oracle.Count(paths, time.Duration(window.DefaultConfig().Size))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for name := range got.windows {
		left[name] = true
	}
	wrong := 0
	for _, r := range want.Rows {
		name := fmt.Sprintf("%s %q %q %s", r.Scope, r.Key, r.Principal, r.Start.UTC().Format(time.RFC3339))
		var classes []string
		for c, n := range r.Classes {
			classes = append(classes, fmt.Sprintf("%s=%d", c, n))
		}
		slices.Sort(classes)
		text := fmt.Sprintf("calls=%d denied=%d failed=%d ", r.Calls, r.Denied, r.Failed) + strings.Join(classes, " ") + " bound=" + r.Bound
		if got.windows[name] != text && wrong < 10 {
			wrong++
			t.Errorf("%s:\n got %q\nwant %q", name, got.windows[name], text)
		}
		delete(left, name)
	}
	if len(left) > 0 {
		t.Errorf("%d windows that the oracle does not have, such as %v", len(left), first(left))
	}
	if g := got.totals; int(g.Counted) != want.Counted || int(g.Duplicates) != want.Duplicates || int(g.Filtered) != want.Filtered || int(g.DeadLettered) != want.Bad {
		t.Errorf("totals %+v, oracle counted %d, duplicates %d, filtered %d, bad %d", g, want.Counted, want.Duplicates, want.Filtered, want.Bad)
	}
	balanced(t, got.totals)
}

func first(m map[string]bool) string {
	for k := range m {
		return k
	}
	return ""
}

func balanced(t *testing.T, g Totals) {
	t.Helper()
	if g.Received != g.Counted+g.Duplicates+g.Filtered+g.DeadLettered {
		t.Errorf("received is not counted + duplicates + filtered + dead-lettered: %+v", g)
	}
}

// small is a trail of two days; with -short, as for the ten times slower race detector, a
// thin one.
func small() generate.Config {
	c := generate.Config{Seed: 7, Duration: 50 * time.Hour, Events: 12_000, DuplicateShare: 0.1, FileEvery: 30 * time.Minute}
	if testing.Short() {
		c.Events = 3000
	}
	return c
}

func TestEqualsTheOracle(t *testing.T) {
	dir := trail(t, small())
	got := scanAll(t, []string{dir}, 2, maxFacts)
	if n := int64(small().Events); got.totals.Counted < n*5/6 || got.totals.Duplicates < n/24 || got.totals.Anomalies == 0 {
		t.Fatalf("the trail is no test: %+v", got.totals)
	}
	equalsOracle(t, got, []string{dir})
}

// Neither the order of files and records, nor how they are split or copied, nor the
// number of workers, nor temporary files may change a window or anomaly.
func TestOrderDoesNotMatter(t *testing.T) {
	dir := trail(t, small())
	want := scanAll(t, []string{dir}, 1, maxFacts)
	rng := rand.New(rand.NewPCG(3, 4))
	records := recordsOf(t, dir)
	for round := range 3 {
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		shuffled := t.TempDir()
		for i := 0; i < len(records); {
			n := min(1+rng.IntN(3000), len(records)-i)
			pack(t, filepath.Join(shuffled, fmt.Sprintf("%d-%06d.json.gz", round, i)), records[i:i+n])
			i += n
		}
		pack(t, filepath.Join(shuffled, "again.json.gz"), records[:500])
		got := scanAll(t, []string{shuffled}, 1+round, []int{maxFacts, 1000, 5000}[round])
		if !slices.Equal(got.records, want.records) {
			t.Errorf("round %d: windows or anomalies differ", round)
		}
		if got.totals.Received != want.totals.Received+500 || got.totals.Counted != want.totals.Counted {
			t.Errorf("round %d: %+v, want 500 records more than %+v and as many calls", round, got.totals, want.totals)
		}
		balanced(t, got.totals)
	}
}

func recordsOf(t *testing.T, dir string) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	for o, err := range source.Objects([]string{dir}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Records []json.RawMessage }
		if err := json.NewDecoder(zip).Decode(&file); err != nil {
			t.Fatal(err)
		}
		body.Close()
		all = append(all, file.Records...)
	}
	return all
}

func pack(t *testing.T, path string, records []json.RawMessage) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(f)
	err = json.NewEncoder(zip).Encode(map[string]any{"Records": records})
	if cerr := zip.Close(); err == nil {
		err = cerr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// zeros yields n bytes of zero.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.n)]
	clear(p)
	z.n -= int64(len(p))
	return len(p), nil
}

// Each damage gives one dead letter, and every intact record is read.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	damaged(t, dir)
	got := scanAll(t, []string{dir}, 2, maxFacts)
	reasons := map[string]string{}
	for _, l := range got.letters {
		name := filepath.Base(l.Object)
		if reasons[name] != "" {
			t.Errorf("%s: a second dead letter: %s: %s", name, l.Reason, l.Detail)
		}
		reasons[name] = l.Reason
	}
	for name, want := range map[string]decoding.Reason{
		"a-broken.json": decoding.ReasonSyntax, "b-duplicate.json": decoding.ReasonDuplicateKey,
		"c-truncated.json.gz": decoding.ReasonTruncated, "d-bomb.json.gz": decoding.ReasonInflatedSize,
	} {
		if reasons[name] != string(want) {
			t.Errorf("%s: reason %q, want %q", name, reasons[name], want)
		}
	}
	if len(got.letters) != 4 {
		t.Errorf("%d dead letters, want 4: %v", len(got.letters), reasons)
	}
	if n := got.totals.Counted; n < 1000 || n > 2005 {
		t.Errorf("%d calls counted: two of a, two of b, most of c and the one of e are whole", n)
	}
	balanced(t, got.totals)
}

// damaged writes five files; the last one is intact.
func damaged(t *testing.T, dir string) {
	t.Helper()
	event := func(id string) string {
		return `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a","accountId":"111122223333"},"eventTime":"2026-01-05T00:00:01Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1","eventID":"` + id + `","recipientAccountId":"111122223333"}`
	}
	write := func(name string, text string, zipped bool) {
		var b bytes.Buffer
		b.WriteString(text)
		if zipped {
			b.Reset()
			zip := gzip.NewWriter(&b)
			zip.Write([]byte(text))
			zip.Close()
			b.Truncate(b.Len() * 3 / 4)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a-broken.json", `{"Records":[`+event("a1")+`,`+strings.Replace(event("a2"), `"eventTime"`, `"eventTime`, 1)+`,`+event("a3")+`]}`, false)
	write("b-duplicate.json", `{"Records":[`+event("b1")+`,`+strings.Replace(event("b2"), `"eventName":`, `"eventName":"Encrypt","eventName":`, 1)+`,`+event("b3")+`]}`, false)
	var many []string
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		many = append(many, event(fmt.Sprintf("c%d-%x", i, rng.Uint64())))
	}
	write("c-truncated.json.gz", `{"Records":[`+strings.Join(many, ",")+`]}`, true)
	bomb, err := os.Create(filepath.Join(dir, "d-bomb.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	// 32 gzip members of 64 MiB each are one stream of 2 GiB (RFC 1952, 2.2).
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	if _, err := io.Copy(zip, &zeros{64 << 20}); err != nil {
		t.Fatal(err)
	}
	zip.Close()
	for range 32 {
		if _, err := bomb.Write(member.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	bomb.Close()
	write("e-good.json", event("e1"), false)
}

// dataDir returns the folder of third-party events.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("NO REAL DATA: %v. Set KEYTRAIL_DATA to the folder with invictus-ir/ to scan real events.", err)
	}
	return dir
}

func TestRealEventsEqualTheOracle(t *testing.T) {
	dir := dataDir(t)
	for _, name := range []string{
		"invictus-ir/kms_events.ndjson", "awsdocs-kms-developer-guide/kms_events.ndjson", "panther-analysis/panther-analysis_rule_tests.ndjson",
		"seeds/kms_events.ndjson", "shapes-2025/kms_events_2025_shape_exemplars.ndjson", "streamalert/kms_events.ndjson", "traildiscover", "stratus",
	} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			paths := []string{filepath.Join(dir, name)}
			equalsOracle(t, scanAll(t, paths, 2, maxFacts), paths)
		})
	}
}
