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

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
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

// The topics of an installation and a sink's file with all forwarded records explain an
// anomaly in the same words.
func TestRunAndExplain(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 36, 2500)
	archive := inTemp(t, "archive.ndjson")
	config := b.config(t, strings.ReplaceAll(fileSink, "${ARCHIVE}", archive))
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
	for _, id := range ids[:min(len(ids), 5)] {
		topics := keytrail(t, nil, "explain", id, "-c", config).wants(t, 0)
		prefix := keytrail(t, nil, "explain", "-c", config, id[:14]).wants(t, 0)
		files := keytrail(t, nil, "explain", id, "--from", archive).wants(t, 0)
		if topics.stdout != files.stdout || topics.stdout != prefix.stdout {
			t.Errorf("%s: the topics tell\n%s\nby a prefix\n%s\nand the file\n%s", id, topics.stdout, prefix.stdout, files.stdout)
		}
		if !strings.Contains(topics.stdout, id) || !strings.Contains(topics.stdout, "In the window") && !strings.Contains(topics.stdout, "The alarm follows from the ledger") || !strings.Contains(topics.stdout, "windows of 1h") {
			t.Errorf("%s is explained by\n%s", id, topics.stdout)
		}
	}
	for _, form := range []string{"json", "csv", "table"} {
		topic := lines(keytrail(t, nil, "explain", "--list", "-c", config, "-o", form).wants(t, 0).stdout)
		file := lines(keytrail(t, nil, "explain", "--list", "--from", archive, "-o", form).wants(t, 0).stdout)
		slices.Sort(topic)
		slices.Sort(file)
		if len(topic) < len(ids) || !slices.Equal(topic, file) {
			t.Errorf("as %s, the topic lists\n%s\nand the file\n%s", form, strings.Join(topic, "\n"), strings.Join(file, "\n"))
		}
	}
	keytrail(t, nil, "explain", "--list", "-c", config, "--max-records", "1").wants(t, 0, "stopped early")
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

// explainBounds checks the output of a search that ends early or finds nothing.
func explainBounds(t *testing.T, config, id string, anomalies int) {
	t.Helper()
	out := keytrail(t, nil, "explain", id, "-c", config, "--max-records", fmt.Sprint(anomalies+40)).wants(t, 0).stdout
	if !regexp.MustCompile(`Reading topic kms\.windows stopped early, after \d+ records: about \d+ were left \(--max-records is \d+\)\.`).MatchString(joined(out)) || strings.Contains(out, "on average") {
		t.Errorf("the bound is not told:\n%s", out)
	}
	keytrail(t, nil, "explain", "ffffffff", "-c", config).wants(t, 1, "no anomaly has the id ffffffff; searched: ", " records of the topics kms.anomalies and kms.incidents at 127.0.0.1:")
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

// Explain skips only records that are more than a day older than the anomaly by their
// Kafka timestamps. It reports records that it cannot decode as errors.
func TestRunAndExplainSince(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config := b.config(t, strings.ReplaceAll(fileSink, "${ARCHIVE}", inTemp(t, "archive.ndjson")))
	p := run(t, config, "")
	p.ready(t)
	// An hour ago: the event that closes the windows must not be ahead of the clock.
	now := time.Now().UTC().Add(-time.Hour).Truncate(time.Hour)
	b.junk(t, "kms.windows", "old", now.Add(-72*time.Hour))
	var records [][]byte
	for i := range 40 {
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
	want := keytrail(t, nil, "explain", id, "-c", config).wants(t, 0).stdout
	if !regexp.MustCompile(`(?m)^  denied +\d+`).MatchString(want) || !strings.Contains(want, "Denied calls in windows of 1h") {
		t.Errorf("it says\n%s", want)
	}
	b.junk(t, "kms.windows", "new", now)
	out := keytrail(t, nil, "explain", id, "-c", config).wants(t, 3, "topic kms.windows: record new: ", "1 record could not be used")
	if out.stdout != want {
		t.Errorf("it says\n%s", out.stdout)
	}
}

// junk puts bytes that are not a log record into a topic.
func (b *broker) junk(t *testing.T, topic, key string, at time.Time) {
	t.Helper()
	until(t, "the client knows the topic", func() bool { return b.partitions(t, topic) > 0 })
	res, err := b.client.Produce(t.Context(), &segmentio.ProduceRequest{Topic: topic, Partition: 0, RequiredAcks: segmentio.RequireAll,
		Records: protocol.NewRecordReader(protocol.Record{Time: at, Key: protocol.NewBytes([]byte(key)), Value: protocol.NewBytes([]byte("\xff\xffno log record"))})})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}
