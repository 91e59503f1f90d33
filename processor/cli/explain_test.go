package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// scanned is the output of a scan that prints every window, with its records.
type scanned struct {
	file               string
	text               string
	anomalies, windows []record
}

func newScanned(t *testing.T, args ...string) *scanned {
	t.Helper()
	out := keytrail(t, nil, append([]string{"scan", "--windows", "all"}, args...)...).wants(t, 0)
	s := &scanned{file: write(t, inTemp(t, "scan.json"), out.stdout), text: out.stdout}
	for _, r := range each(t, out.stdout, parse) {
		if r.EventName == windowEvent {
			s.windows = append(s.windows, r)
		} else {
			s.anomalies = append(s.anomalies, r)
		}
	}
	return s
}

// attacked is the cached result of attackTrail.
var attacked struct {
	sync.Mutex
	*scanned
}

// attackTrail returns a scanned trail with attacks, shared by all tests, which only read
// it. Its file is removed at the end.
func attackTrail(t *testing.T) *scanned {
	t.Helper()
	attacked.Lock()
	defer attacked.Unlock()
	if attacked.scanned == nil {
		_, trail := madeTrail(t, generate.Config{Seed: 3, Duration: 48 * time.Hour, Events: 12_000})
		s := newScanned(t, trail)
		if len(s.anomalies) < 8 {
			t.Fatalf("the trail is no test: %d anomalies", len(s.anomalies))
		}
		s.file = write(t, filepath.Join(filepath.Dir(program), "attacked.json"), s.text)
		attacked.scanned = s
	}
	return attacked.scanned
}

// of returns the windows of a record's entity, by start.
func (s *scanned) of(r record) map[string]record {
	found := map[string]record{}
	for _, w := range s.windows {
		same := true
		for _, name := range []string{"keytrail.window.scope", "aws.kms.key.arn", "aws.kms.alias.arn", "keytrail.principal.id"} {
			same = same && w.str(name) == r.str(name)
		}
		if same {
			found[w.str("keytrail.window.start")] = w
		}
	}
	return found
}

// joined returns text without its line breaks.
func joined(text string) string { return strings.Join(strings.Fields(text), " ") }

// The explanation of every anomaly agrees with its record and its entity's windows, as
// read independently from the same lines.
func TestExplain(t *testing.T) {
	heavy(t)
	s := attackTrail(t)
	detectors, versions := map[string]bool{}, map[string]int{}
	for _, r := range s.anomalies {
		versions[r.str("keytrail.anomaly.id")]++
	}
	for _, r := range s.anomalies {
		if id := r.str("keytrail.anomaly.id"); versions[id] > 1 { // it continues: the last record counts
			versions[id]--
			continue
		}
		if detectors[r.str("keytrail.anomaly.detector")] {
			continue // one of each will do
		}
		detectors[r.str("keytrail.anomaly.detector")] = true
		id := r.str("keytrail.anomaly.id")
		out := keytrail(t, nil, "explain", id, "--from", s.file).wants(t, 0).stdout
		for _, want := range []string{
			r.str("keytrail.anomaly.severity") + " " + r.str("keytrail.anomaly.kind") + " " + id,
			r.str("keytrail.anomaly.reason"), "detector " + r.str("keytrail.anomaly.detector"), "scope " + r.str("keytrail.window.scope"),
			r.str("aws.kms.key.arn"), r.str("keytrail.principal.id"),
		} {
			if !strings.Contains(joined(out), joined(want)) {
				t.Errorf("%s: %q is missing:\n%s", id, want, out)
			}
		}
		for _, name := range []string{"keytrail.anomaly.calls", "keytrail.anomaly.techniques"} {
			for _, v := range r.attrs[name].GetArrayValue().GetValues() {
				if !regexp.MustCompile(`(?m)^(sample calls|ATT&CK|)\s+` + regexp.QuoteMeta(v.GetStringValue()) + `( [A-Z].+)?$`).MatchString(out) {
					t.Errorf("%s: %s is missing:\n%s", id, v.GetStringValue(), out)
				}
			}
		}
		s.checkCounts(t, r, out)
	}
	if len(detectors) < 4 {
		t.Errorf("only detectors %v", detectors)
	}
}

// checkCounts checks the table of counts below an explanation.
func (s *scanned) checkCounts(t *testing.T, r record, out string) {
	t.Helper()
	windows := s.of(r)
	start, err := time.Parse(time.RFC3339, r.str("keytrail.window.start"))
	if err != nil {
		t.Fatal(err)
	}
	first := slices.MinFunc(s.windows, func(a, b record) int { return int(a.TimeUnixNano/1e9) - int(b.TimeUnixNano/1e9) })
	sums, n := map[string]int64{}, 0
	for at := start.Add(-5 * time.Minute); !at.Before(start.Add(-24*time.Hour)) && at.UnixNano() >= int64(first.TimeUnixNano); at = at.Add(-5 * time.Minute) {
		n++
		if w, ok := windows[at.Format(time.RFC3339)]; ok {
			for key := range w.attrs {
				sums[key] += w.int(key)
			}
		}
	}
	if n > 1 && !strings.Contains(joined(out), fmt.Sprintf("on average in the %d windows before it:", n)) {
		t.Errorf("no mean of %d windows:\n%s", n, out)
	}
	own := windows[r.str("keytrail.window.start")]
	names := map[string]string{"all": windowCalls, "denied": "keytrail.window.denied", "failed": "keytrail.window.failed"}
	for class := range operationClasses {
		names[class] = callsPrefix + class
	}
	delete(names, "trail") // changes of trails are not calls, and stand below all of them
	names["trail changes"] = callsPrefix + "trail"
	for label, name := range names {
		m := regexp.MustCompile(`(?m)^  ` + label + ` +(\d+)(?: +(\S+))?$`).FindStringSubmatch(out)
		switch {
		case m == nil && (own.int(name) != 0 || sums[name] != 0), m != nil && m[1] != fmt.Sprint(own.int(name)):
			t.Errorf("%s: want %d:\n%s", label, own.int(name), out)
		case m != nil && n > 0 && !near(m[2], float64(sums[name])/float64(n)):
			t.Errorf("%s: the mean is %s, want %d/%d", label, m[2], sums[name], n)
		}
	}
}

// near reports whether text is a number, written with three digits.
func near(text string, want float64) bool {
	if text == "<0.001" {
		return want > 0 && want < 0.001
	}
	var got float64
	_, err := fmt.Sscan(text, &got)
	return err == nil && got >= want*0.99-0.0006 && got <= want*1.01+0.0006
}

// The output is the same from several files, standard input, a collector's batch of the
// lines, and lines in another order.
func TestExplainInputs(t *testing.T) {
	s := attackTrail(t)
	id := s.anomalies[0].str("keytrail.anomaly.id")
	want := keytrail(t, nil, "explain", id, "--from", s.file).wants(t, 0).stdout
	all := lines(s.text)
	half := len(all) / 2
	one, two := write(t, inTemp(t, "1"), strings.Join(all[:half], "\n")), write(t, inTemp(t, "2"), strings.Join(all[half:], "\r\n\r\n"))
	var batches strings.Builder
	for some := range slices.Chunk(all, 100) {
		batch := make([]string, len(some))
		for i, line := range some {
			batch[i] = strings.TrimSuffix(strings.TrimPrefix(line, `{"resourceLogs":[`), "]}")
		}
		fmt.Fprintf(&batches, "{\"resourceLogs\": [%s]}\n", strings.Join(batch, ", "))
	}
	slices.Reverse(all)
	for name, got := range map[string]outcome{
		"prefix":     keytrail(t, nil, "explain", "--from", s.file, strings.ToUpper(id[:12])),
		"two files":  keytrail(t, nil, "explain", id, "--from", two, one),
		"two flags":  keytrail(t, nil, "explain", "--from", two, "--from", one, id),
		"stdin":      keytrail(t, strings.NewReader(s.text), "explain", id, "--from", "-"),
		"batches":    keytrail(t, strings.NewReader(batches.String()), "explain", id, "--from", "-"),
		"other way":  keytrail(t, strings.NewReader(strings.Join(all, "\n")), "explain", id, "--from", "-"),
		"twice":      keytrail(t, nil, "explain", id, "--from", s.file, s.file),
		"other JSON": keytrail(t, strings.NewReader(strings.ReplaceAll(s.text, `":`, `" : `)), "explain", id, "--from", "-"),
	} {
		if got.wants(t, 0).stdout != want {
			t.Errorf("%s: the output differs:\n%s\nwant\n%s", name, got.stdout, want)
		}
	}
}

// If quiet windows were omitted, a gap is not drawn as 0.
func TestExplainOnlyAnomalous(t *testing.T) {
	s := attackTrail(t)
	var few, none []string
	for _, line := range lines(s.text) {
		_, r := parse(t, line)
		if r.EventName == anomalyEvent {
			none = append(none, line)
		}
		if r.EventName == anomalyEvent || r.int("keytrail.window.anomalies.total") > 0 {
			few = append(few, line)
		}
	}
	id := s.anomalies[0].str("keytrail.anomaly.id")
	out := keytrail(t, strings.NewReader(strings.Join(few, "\n")), "explain", "--ascii", "--from", "-", id).wants(t, 0).stdout
	if !strings.Contains(joined(out), "keytrail scan --windows all prints every window") || strings.Contains(out, "on average") {
		t.Errorf("the gaps are not told:\n%s", out)
	}
	axis := regexp.MustCompile(`(?m)^     0 \+([-+ ]*)$`).FindStringSubmatch(out)
	if axis == nil || strings.Count(axis[1], " ")*2 < len(axis[1]) && len(axis[1]) > 10 {
		t.Errorf("the axis has no gaps: %q in\n%s", axis, out)
	}
	out = keytrail(t, strings.NewReader(strings.Join(none, "\n")), "explain", "--from", "-", id).wants(t, 0).stdout
	if !strings.Contains(out, "own window was not in the input") || strings.Contains(out, "In the window") {
		t.Errorf("without windows it says\n%s", out)
	}
}

func TestExplainFails(t *testing.T) {
	s := newScanned(t, filepath.Join("..", "..", "deploy", "trail"))
	id := s.anomalies[0].str("keytrail.anomaly.id")
	keytrail(t, nil, "explain").wants(t, 2, "explain needs an anomaly's id or --list, and either --from FILE or -c FILE")
	keytrail(t, nil, "explain", id).wants(t, 2, "either --from FILE or -c FILE")
	keytrail(t, nil, "explain", id, "--from", s.file, "-c", "x").wants(t, 2, "either --from FILE or -c FILE")
	keytrail(t, nil, "explain", "--from", s.file).wants(t, 2, "explain needs an anomaly's id or --list")
	keytrail(t, nil, "explain", "1234567", "--from", s.file).wants(t, 2, `"1234567" is not an anomaly's id: want 8 to 32`)
	keytrail(t, nil, "explain", id, "--from", s.file, "--before", "1y").wants(t, 2, "before", "a duration from 0s to 840h")
	keytrail(t, nil, "explain", id, "--from", s.file+"x").wants(t, 1, "cannot read", "no such file")
	keytrail(t, nil, "explain", id, "--from", filepath.Dir(s.file)).wants(t, 1, "it is a directory")
	keytrail(t, nil, "explain", id, "-c", s.file+"x").wants(t, 2, "no such file")
	keytrail(t, nil, "explain", "ffffffff00", "--from", s.file).wants(t, 1, "no anomaly has the id ffffffff00; searched: "+s.file+
		fmt.Sprintf(" with %d lines, %d anomaly lines and %d window lines", len(s.anomalies)+len(s.windows), len(s.anomalies), len(s.windows)))
	twin := strings.ReplaceAll(s.text, id, id[:10]+strings.Repeat("f", 22))
	out := keytrail(t, strings.NewReader(s.text+twin), "explain", "--from", "-", id[:10]).wants(t, 1, "several anomalies begin with "+id[:10], id, "give more digits")
	if out.stdout != "" {
		t.Errorf("it prints %s", out.stdout)
	}
}

// A bad line affects only itself: each is reported with its place, and counted.
func TestExplainBadLines(t *testing.T) {
	s := newScanned(t, filepath.Join("..", "..", "deploy", "trail"))
	id := s.anomalies[0].str("keytrail.anomaly.id")
	want := keytrail(t, nil, "explain", id, "--from", s.file).wants(t, 0).stdout
	text := strings.Join([]string{
		"no json\x1b[2J", `{"Records":[]}`, s.text, s.text[:100],
		strings.Replace(lines(s.text)[0], `"keytrail.window.start","value":{"stringValue":"2026`, `"keytrail.window.start","value":{"stringValue":"someday`, 1),
		`{"resourceLogs":"` + id + ` keytrail.anomaly \"keytrail.anomaly\" "keytrail.window"}`,
		`{"resourceLogs":["keytrail.anomaly","keytrail.window","` + id + `"]}`,
	}, "\n")
	out := keytrail(t, strings.NewReader(text), "explain", id, "--from", "-").wants(t, 3, "-:1: no OTLP/JSON: want one LogsData object a line", "-:2: no OTLP/JSON", "6 lines of ", "could not be used")
	if out.stdout != want || strings.Contains(out.stderr, "\x1b") {
		t.Errorf("it prints\n%s\nand says %q", out.stdout, out.stderr)
	}
	out = keytrail(t, strings.NewReader(s.text+strings.Repeat("x\n", 500)), "explain", id, "--from", "-").wants(t, 3, "500 lines of ")
	if n := len(lines(out.stderr)); n > 15 {
		t.Errorf("%d lines on stderr", n)
	}
	keytrail(t, strings.NewReader(strings.Repeat("x", 70<<20)+"\n"+s.text), "explain", id, "--from", "-").wants(t, 3, "-:1: longer than ", "1 line of ")
}

func TestExplainInterrupted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	p := start(t, r, nil, "explain", "0123456789", "--from", "-")
	if _, err := w.WriteString("{}\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "it reads", func() bool { return waitsForInput(t, r) })
	p.signal(t, syscall.SIGINT)
	outcome{code: p.code(t), stderr: p.stderr.String()}.wants(t, 1, "interrupted")
	p.leavesNothing(t)
}

// Escape sequences in a trail do not reach the terminal.
func TestExplainIsPlain(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	text := strings.Replace(event("t1", `a\u001b[2Jb`, at), `"eventName":"Decrypt"`, `"eventName":"DisableKey"`, 1)
	scan := keytrail(t, strings.NewReader(text), "scan", "--windows", "all", "-").wants(t, 0).stdout
	table := keytrail(t, strings.NewReader(text), "scan", "-o", "table", "-").wants(t, 0).stdout
	id := regexp.MustCompile(`(?m)^  ! high +rule +([0-9a-f]{12}) \S`).FindStringSubmatch(table)
	if id == nil {
		t.Fatalf("the table has no id to copy:\n%s", table)
	}
	out := keytrail(t, strings.NewReader(scan), "explain", "--from", "-", id[1]).wants(t, 0).stdout
	if strings.Contains(out, "\x1b") || !strings.Contains(out, `a\x1b[2Jb`) {
		t.Errorf("it prints %q", out)
	}
}
