package cli_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/internal/oracle"
)

// Files of several accounts and regions that replay publishes count as in the oracle:
// they come in order of delivery, so none is late.
func TestReplay(t *testing.T) {
	heavy(t)
	dir := t.TempDir()
	keytrail(t, nil, "generate", "--out", dir, "--duration", "40h", "--events", "2000", "--scenarios", "none", "--start", time.Now().Add(-90*time.Hour).UTC().Format("2006-01-02T15:04:05Z")).wants(t, 0)
	logs := filepath.Join(dir, "AWSLogs")
	want, err := oracle.Count([]string{logs}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(logs, "broken.json"), `{"Records":[{"eventVersion":`)
	b := startBroker(t)
	// The sink's own file is among the input, and is not read.
	archive := write(t, filepath.Join(logs, "archive.ndjson"), `{"resourceLogs":[]}`+"\n")
	config := b.config(t, strings.Replace(fileSink, "${ARCHIVE}", archive, 1))
	keytrail(t, nil, "replay", "-c", config, logs).wants(t, 3, "1 dead letters")
	closer := write(t, filepath.Join(t.TempDir(), "closer.json"), event("closer", "closer", time.Now().Add(-40*time.Hour)))
	keytrail(t, nil, "replay", "-c", config, closer).wants(t, 0, "1 records: 1 published to kms.events")
	p := run(t, config, "")
	p.ready(t)
	b.equals(t, rowTexts(want))

	// Replay refuses an event that this installation no longer counts, with advice, before
	// publishing it, and publishes one that still counts.
	before := len(b.committed(t, "kms.events").records)
	old := write(t, filepath.Join(t.TempDir(), "old.json"), event("old", "old", time.Now().Add(-200*time.Hour)))
	keytrail(t, nil, "replay", "-c", config, old).wants(t, 1, "old.json: an event of", "is late", "has counted up to", `"keytrail scan"`, "kafka.prefix", "kafka.transactional_id", "--allow-late")
	if n := len(b.committed(t, "kms.events").records); n != before {
		t.Errorf("%d records were published before the refusal", n-before)
	}
	young := write(t, filepath.Join(t.TempDir(), "young.json"), event("young", "young", time.Now().Add(-time.Hour)))
	keytrail(t, nil, "replay", "-c", config, young).wants(t, 0, "1 records: 1 published")
	keytrail(t, nil, "replay", "-c", config, "--allow-late", old).wants(t, 0, "1 records: 1 published")
	p.stop(t, syscall.SIGTERM)
}

func TestReplayRefuses(t *testing.T) {
	keytrail(t, nil, "replay", "x").wants(t, 2, "replay needs -c FILE")
	embedded := write(t, inTemp(t, "k.yaml"), "kafka: {embedded: true}\n")
	keytrail(t, nil, "replay", "-c", embedded, "x").wants(t, 2, "kafka.embedded is true")
}
