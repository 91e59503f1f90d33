package plugintest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// body is the body of a record that in_kms returned, as a generic reader sees
// it.
type body map[string]any

// readRecords reads what in_kms returned with msgp's generic decoder, which the
// plugins do not use, and checks the metadata.
func readRecords(t *testing.T, path string) []body {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []body
	for len(b) > 0 {
		var v any
		if v, b, err = msgp.ReadIntfBytes(b); err != nil {
			t.Fatalf("record %d: %v", len(list), err)
		}
		record, ok := v.([]any)
		if !ok || len(record) != 2 {
			t.Fatalf("record %d is %v", len(list), v)
		}
		head, ok := record[0].([]any)
		if !ok || len(head) != 2 || head[1].(map[string]any)["keytrail"] != "in_kms" {
			t.Fatalf("record %d has the header %v", len(list), record[0])
		}
		list = append(list, body(record[1].(map[string]any)))
	}
	return list
}

// wantEvents checks that the records hold exactly these events, byte for byte,
// each as often as it is listed.
func wantEvents(t *testing.T, records []body, want []string) {
	t.Helper()
	got := map[string]int{}
	for _, r := range records {
		got[r["event"].(string)]++
	}
	for _, event := range want {
		if got[event] == 0 {
			t.Errorf("the event did not arrive, or not byte for byte: %s", event)
		}
		got[event]--
	}
	for event, n := range got {
		if n > 0 {
			t.Errorf("an event too much: %s", event)
		}
	}
}

// fast are the properties that make in_kms quick enough for a test.
func fast(dir string, more ...string) []string {
	return props(append([]string{"path=" + dir, "poll_interval=10ms"}, more...)...)
}

func TestInputReadsEveryShape(t *testing.T) {
	b := plugins(t)
	all := events(t)
	dir := trail(t, shapes(t, all))
	out := filepath.Join(t.TempDir(), "records")
	args := append([]string{b.in, "--calls", patientCalls, "--records", strconv.Itoa(len(all)), "--out", out}, fast(dir)...)
	r := mustRun(t, b, args...)
	records := readRecords(t, out)
	wantEvents(t, records, all)
	for _, rec := range records {
		object, _ := rec["object"].(string)
		if _, err := os.Stat(object); err != nil || rec["account"] != "444455556666" || rec["region"] != "eu-central-1" {
			t.Errorf("the record's origin is wrong: object %v, account %v, region %v", rec["object"], rec["account"], rec["region"])
		}
		content, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		offset, isInt := rec["offset"].(int64)
		if !isInt || (offset > 0 && !strings.HasSuffix(object, "gz") && filepath.Base(object) == "array.json" &&
			!strings.HasPrefix(string(content[offset:]), rec["event"].(string))) {
			t.Errorf("%s: no event at byte %v", object, rec["offset"])
		}
	}
	if !strings.Contains(r.stderr, "1 filtered, 12 handed over, 0 left), 0 bad records") {
		t.Errorf("the log's count is missing or wrong:\n%s", r.stderr)
	}
}

func TestInputOnACoreWithoutContexts(t *testing.T) {
	b := plugins(t)
	all := events(t)
	out := filepath.Join(t.TempDir(), "records")
	mustRun(t, b, append([]string{b.in, "--old-core", "--calls", patientCalls, "--records", "12", "--out", out}, fast(trail(t, shapes(t, all)))...)...)
	wantEvents(t, readRecords(t, out), all)
}

func TestInputTwoInstances(t *testing.T) {
	b := plugins(t)
	all := events(t)
	first, second := all[:4], all[4:]
	outs := []string{filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")}
	args := []string{b.in, "--calls", patientCalls, "--records", "4", "--out", outs[0]}
	args = append(args, fast(trail(t, map[string]string{"a": strings.Join(first, "\n")}))...)
	args = append(args, "--instance", "--out", outs[1])
	args = append(args, fast(trail(t, map[string]string{"b": strings.Join(second, "\n")}))...)
	mustRun(t, b, args...)
	wantEvents(t, readRecords(t, outs[0]), first)
	wantEvents(t, readRecords(t, outs[1]), second)
}

func TestInputCheckpoint(t *testing.T) {
	b := plugins(t)
	all := events(t)
	// The bad file is the first: the host ends with the last event of the other.
	dir := trail(t, map[string]string{"a-bad": `{"eventName":`, "b": strings.Join(all, "\n")})
	state := t.TempDir()
	collect := func(settle, records, calls string) []body {
		t.Helper()
		out := filepath.Join(t.TempDir(), "records")
		mustRun(t, b, append([]string{b.in, "--calls", calls, "--records", records, "--out", out},
			fast(dir, "checkpoint="+filepath.Join(state, "cp"), "settle="+settle)...)...)
		return readRecords(t, out)
	}
	wantEvents(t, collect("1h", "12", patientCalls), all) // handed over, never settled
	wantEvents(t, collect("0", "12", patientCalls), all)  // so the next run repeats it, and settles
	if got := collect("0", "0", "50"); len(got) != 0 {
		t.Errorf("%d records of a file that is done", len(got))
	}
	names := []string{}
	entries, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"cp", "cp.deadletter.ndjson", "cp.lock"}) {
		t.Errorf("left behind: %q", names)
	}
	letters, err := os.ReadFile(filepath.Join(state, "cp.deadletter.ndjson"))
	if err != nil || !strings.Contains(string(letters), `"reason":"truncated"`) {
		t.Errorf("dead letters: %s, %v", letters, err)
	}
}

func TestInputPausesAndStopsWithRecordsWaiting(t *testing.T) {
	b := plugins(t)
	all := numbered(t, events(t)[0], 0, 4000)
	dir := trail(t, map[string]string{"a": strings.Join(all, "\n")})
	checkpoint := "checkpoint=" + filepath.Join(t.TempDir(), "cp")
	out := filepath.Join(t.TempDir(), "records")
	collect := func(records string, more ...string) (result, []body) {
		t.Helper()
		r := mustRun(t, b, append(append([]string{b.in, "--calls", patientCalls, "--records", records, "--out", out}, more...),
			fast(dir, checkpoint, "settle=0", "batch_bytes=64K")...)...)
		return r, readRecords(t, out)
	}
	// The host fails when something is returned while paused or at the end.
	r, some := collect("2000", "--pause-after", "1000")
	if len(some) < 2000 || len(some) == len(all) {
		t.Fatalf("%d of %d records came: none waited at the end", len(some), len(all))
	}
	if !strings.Contains(r.stderr, "stopped: ") || strings.Contains(r.stderr, " 0 left") {
		t.Errorf("the log does not count what was left:\n%s", r.stderr)
	}
	_, again := collect("4000") // the checkpoint did not move: all of it comes again
	wantEvents(t, again, all)
}

func TestInputRefusesAtStart(t *testing.T) {
	b := plugins(t)
	dir := t.TempDir()
	f := func(message string, p ...string) {
		t.Helper()
		r := run(t, b, append([]string{b.in}, props(p...)...)...)
		if r.status != 3 || !strings.Contains(r.stderr, "[error] [in_kms] "+message) {
			t.Errorf("%q: status %d, want 3 and the message %q\n%s", p, r.status, message, r.stderr)
		}
	}
	f(`cannot use property "source" with value "kinesis": want file or s3 or sqs or lookup`, "path="+dir, "source=kinesis")
	f(`property "s3_bucket" is missing`, "source=s3", "checkpoint="+dir+"/cp")
	f(`property "path" is for source file, and source is sqs`, "source=sqs", "sqs_queue_url=http://127.0.0.1:1/q", "dead_letter="+dir+"/d", "path="+dir)
	f(`property "path" is missing`, "source=file")
	f(`cannot use property "poll_interval" with value "never"`, "path="+dir, "poll_interval=never")
	f(`cannot read checkpoint`, "path="+dir, "checkpoint="+writeFile(t, "no JSON"))
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
