package input

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/property"
)

func parse(values map[string]string) (Config, *property.Reader, error) {
	r := property.NewReader(func(name string) string { return values[name] })
	c, err := ParseConfig(r)
	return c, r, err
}

func TestParseConfigDefaults(t *testing.T) {
	dir := t.TempDir()
	cp := filepath.Join(dir, "cp.json")
	c, r, err := parse(map[string]string{"path": dir, "checkpoint": cp})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig(SourceFile)
	want.Path, want.Checkpoint, want.DeadLetter = dir, cp, cp+".deadletter.ndjson"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	for _, name := range r.Names() {
		if property.Reserved(name) {
			t.Errorf("Fluent Bit's core keeps the property %q for itself", name)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("checking left %v behind (%v)", left, err)
	}
}

func TestParseConfigValues(t *testing.T) {
	dir := t.TempDir()
	c, _, err := parse(map[string]string{
		"source": "FILE", "path": filepath.Join(dir, "*.json.gz"), "dead_letter": filepath.Join(dir, "dead"),
		"from_beginning": "off", "filter": "all", "poll_interval": "100ms", "settle": "0",
		"queue_records": "10", "queue_bytes": "2M", "batch_bytes": "64K",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Source: SourceFile, Readers: 1, Path: filepath.Join(dir, "*.json.gz"), DeadLetter: filepath.Join(dir, "dead"), All: true,
		PollInterval: 100 * time.Millisecond, QueueRecords: 10, QueueBytes: 2 << 20, BatchBytes: 64 << 10,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseConfigRefusals(t *testing.T) {
	dir := t.TempDir()
	f := func(name, value, message string) {
		t.Helper()
		values := map[string]string{"path": dir, name: value}
		_, _, err := parse(values)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), message) {
			t.Errorf("%s=%q: got %v, want a refusal that names it and says %q", name, value, err, message)
		}
	}
	f("source", "kinesis", `allowed is file or s3 or sqs or lookup`)
	f("s3_bucket", "trail", `it belongs to source s3`)
	f("path", "", "is missing")
	f("path", filepath.Join(dir, "missing"), "no such file")
	f("path", filepath.Join(dir, "["), "pattern")
	f("filter", "some", "kms or all")
	f("from_beginning", "perhaps", "on or off")
	f("poll_interval", "1ms", "from 10ms")
	f("settle", "2h", "to 1h")
	f("queue_records", "0", "from 1")
	f("queue_bytes", "1K", "from 1M")
	f("batch_bytes", "1G", "to 64M")
	f("checkpoint", filepath.Join(dir, "no", "cp"), "no such file")
	f("dead_letter", filepath.Join(dir, "no", "dead"), "no such file")

	same := filepath.Join(dir, "x")
	if _, _, err := parse(map[string]string{"path": dir, "checkpoint": same, "dead_letter": same}); err == nil {
		t.Error("one file for checkpoint and dead letters was taken")
	}
}
