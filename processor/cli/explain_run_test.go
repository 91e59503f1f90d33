package cli_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// firstAnomalies returns the id of the first anomaly of each detector.
func firstAnomalies(records []record) []string {
	found := map[string]string{}
	for _, r := range records {
		if name := r.str("keytrail.anomaly.detector"); r.EventName == anomalyEvent && found[name] == "" {
			found[name] = r.str("keytrail.anomaly.id")
		}
	}
	return slices.Sorted(maps.Values(found))
}

// What the topics of an installation tell of an anomaly is what a sink's file with all
// that was forwarded tells, to the letter.
func TestRunAndExplain(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 36, 2500)
	config, archive := b.config(t, fileSink), inTemp(t, "archive.ndjson")
	p := run(t, config, archive)
	p.ready(t)
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	var ids []string
	until(t, "all is in the file", func() bool {
		arrived := archived(t, archive)
		ids = firstAnomalies(newRecords(b.committed(t, "kms.anomalies")))
		return arrived.missing(tr) == "" && len(ids) >= 3 && len(arrived.anomalies) == len(b.anomalies(t)) && len(arrived.windows) == len(windowIDs(t, b))
	})
	p.stop(t, syscall.SIGTERM)
	for _, id := range ids {
		topics := keytrail(t, nil, "explain", id, "-c", config).wants(t, 0)
		prefix := keytrail(t, nil, "explain", "-c", config, id[:14]).wants(t, 0)
		files := keytrail(t, nil, "explain", id, "--from", archive).wants(t, 0)
		if topics.stdout != files.stdout || topics.stdout != prefix.stdout {
			t.Errorf("%s: the topics tell\n%s\nby a prefix\n%s\nand the file\n%s", id, topics.stdout, prefix.stdout, files.stdout)
		}
		if !strings.Contains(topics.stdout, id) || !strings.Contains(topics.stdout, "In the window") || !strings.Contains(topics.stdout, "windows of 1h") {
			t.Errorf("%s is explained by\n%s", id, topics.stdout)
		}
	}
	if _, stable := b.group(t, "keytrail-explain"); stable {
		t.Error("explain left a group behind")
	}
	explainBounds(t, config, ids[0], len(b.committed(t, "kms.anomalies").records))
}

// newRecords returns the records of a topic.
func newRecords(log topicLog) (list []record) {
	for _, r := range log.records {
		list = append(list, newRecord(r))
	}
	return list
}

func windowIDs(t *testing.T, b *broker) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range newRecords(b.committed(t, "kms.windows")) {
		ids[r.str("keytrail.window.id")] = true
	}
	return ids
}

// explainBounds checks what is said where the search ends early, or in vain.
func explainBounds(t *testing.T, config, id string, anomalies int) {
	t.Helper()
	out := keytrail(t, nil, "explain", id, "-c", config, "--max-records", fmt.Sprint(anomalies+40)).wants(t, 0).stdout
	if !regexp.MustCompile(`Reading topic kms\.windows stopped early, after \d+ records: about \d+ were left \(--max-records is \d+\)\.`).MatchString(joined(out)) || strings.Contains(out, "on average") {
		t.Errorf("the bound is not told:\n%s", out)
	}
	keytrail(t, nil, "explain", "ffffffff", "-c", config).wants(t, 1, "no anomaly has the id ffffffff; searched: ", " records of topic kms.anomalies at 127.0.0.1:")
	keytrail(t, nil, "explain", "ffffffff", "-c", config, "--max-records", "2").wants(t, 1, "stopped early")
	keytrail(t, nil, "explain", "-c", config, strings.Repeat("f", 32)).wants(t, 1, "no anomaly has the id fffff")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	other := write(t, inTemp(t, "other.yaml"), strings.Replace(string(text), "kafka:\n", "kafka:\n  prefix: nowhere.\n", 1))
	keytrail(t, nil, "explain", id, "-c", other).wants(t, 1, `cannot read topic "nowhere.anomalies"`)
	embedded := write(t, inTemp(t, "embedded.yaml"), "kafka: {embedded: true}\n")
	keytrail(t, nil, "explain", id, "-c", embedded).wants(t, 2, "kafka.embedded is true")
	away := write(t, inTemp(t, "away.yaml"), regexp.MustCompile(`brokers: .*`).ReplaceAllString(string(text), `brokers: ["127.0.0.1:1"]`))
	keytrail(t, nil, "explain", id, "-c", away, "--timeout", "2s").wants(t, 1, "127.0.0.1:1")
}

// The timestamps in Kafka pass over what is more than a day before the anomaly, and
// nothing of what is wanted.
func TestRunAndExplainALaterDay(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config, archive := b.config(t, fileSink), inTemp(t, "archive.ndjson")
	p := run(t, config, archive)
	p.ready(t)
	now := time.Now().UTC().Truncate(time.Hour)
	var records [][]byte
	for i := range 40 { // refusals of a principal within the last hour that has ended, and before that nothing
		records = append(records, []byte(strings.Replace(event(fmt.Sprint("r", i), "late", now.Add(-time.Duration(i)*time.Minute)), `"eventName"`, `"errorCode":"AccessDenied","eventName"`, 1)))
	}
	b.produce(t, records)
	b.produce(t, [][]byte{[]byte(event("closer", "closer", now.Add(50*time.Minute)))})
	var id string
	until(t, "the refusals are noticed", func() bool {
		for _, r := range newRecords(b.committed(t, "kms.anomalies")) {
			if r.str("keytrail.anomaly.detector") == "refusals" && r.str("keytrail.window.scope") == "principal" {
				id = r.str("keytrail.anomaly.id")
			}
		}
		return id != ""
	})
	p.stop(t, syscall.SIGTERM)
	out := keytrail(t, nil, "explain", id, "-c", config).wants(t, 0).stdout
	if !regexp.MustCompile(`(?m)^  refused +\d+`).MatchString(out) || !strings.Contains(out, "Refused calls in windows of 1h") {
		t.Errorf("it says\n%s", out)
	}
}
