package all

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/internal/receiver"
	"keytrail/processor/sink"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/sink/sinktest"
)

const lokiConfig = `auth_enabled: false
server: {http_listen_address: 127.0.0.1, http_listen_port: HTTP, grpc_listen_address: 127.0.0.1, grpc_listen_port: GRPC}
common:
  instance_addr: 127.0.0.1
  path_prefix: DIR
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: DIR/chunks, rules_directory: DIR/rules}}
schema_config:
  configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
ingester: {lifecycler: {min_ready_duration: 0s}}
analytics: {reporting_enabled: false}
`

// lokiSearches returns the searches of the page about OTLP, in order.
func lokiSearches(t *testing.T) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/sinks/otlp.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range strings.Split(string(text), "```logql\n")[1:] {
		search, _, _ := strings.Cut(after, "```")
		list = append(list, search)
	}
	if len(list) != 3 {
		t.Fatalf("the page has %d searches, want 3", len(list))
	}
	return list
}

// TestAllLoki sends to a real Loki what the page about OTLP says of it, and runs the page's
// searches. A call that is sent twice is there once, and a record that is older than Loki
// takes becomes a dead letter, while the others of its batch arrive.
func TestAllLoki(t *testing.T) {
	binary := receiver.Find(t, "receiver", "loki")
	address, grpc, dir := receiver.Address(t), receiver.Address(t), t.TempDir()
	_, httpPort, _ := strings.Cut(address, ":")
	_, grpcPort, _ := strings.Cut(grpc, ":")
	config := filepath.Join(dir, "loki.yaml")
	text := strings.NewReplacer("HTTP", httpPort, "GRPC", grpcPort, "DIR", dir).Replace(lokiConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	receiver.Start(t, address, binary, "-config.file="+config)

	c := otlphttp.DefaultConfig()
	c.Endpoint = "http://" + address + "/otlp"
	to, err := c.Open(sink.Identity{Name: "loki", Group: "loki"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var dead []string
	r, err := sink.NewRunner(sink.Options{Name: "loki", Sink: to, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(),
		DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, err error) error {
			dead = append(dead, fmt.Sprint(rec.Ref, ": ", err))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	batch := []sink.Record{lokiRecord(t, "anomaly", now, "keytrail.anomaly.severity", "critical", "keytrail.anomaly.state", "open",
		"keytrail.anomaly.reason", "a burst")}
	for i := range 30 {
		principal := []string{"alice", "bob", "carol"}[min(i%6, 2)]
		batch = append(batch, lokiRecord(t, fmt.Sprint("call-", i), now.Add(-time.Duration(i)*time.Second),
			"aws.kms.key.arn", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			"keytrail.call.id", fmt.Sprint("call-", i), "keytrail.principal.id", principal))
	}
	batch = append(batch, batch[5])
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.Deliver(ctx, batch); err != nil {
		t.Fatal(err)
	}
	late := []sink.Record{lokiRecord(t, "late", now.Add(-2*time.Hour)), lokiRecord(t, "anew", now)}
	if err := r.Deliver(ctx, late); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || !strings.HasPrefix(dead[0], "late: ") || !strings.Contains(dead[0], "too far behind") {
		t.Errorf("the dead letters are %q, want the late record with Loki's words", dead)
	}

	searches := lokiSearches(t)
	until := time.Now().Add(30 * time.Second)
	for _, step := range []struct {
		what, search string
		want         []string
	}{
		{"anomalies", searches[0], []string{"critical a burst"}},
		{"principals", searches[1], []string{"alice 5", "bob 5", "carol 20"}},
		{"health", searches[2], []string{" 32"}},
	} {
		got := lokiAnswer(t, address, step.search)
		for !slices.Equal(got, step.want) && time.Now().Before(until) {
			time.Sleep(500 * time.Millisecond)
			got = lokiAnswer(t, address, step.search)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: Loki answers %q, want %q", step.what, got, step.want)
		}
	}
}

// lokiRecord returns a record with an id, a time, and pairs of an attribute and its value.
func lokiRecord(t *testing.T, id string, at time.Time, pairs ...string) sink.Record {
	t.Helper()
	data := sinktest.Data(id)
	own := data.ResourceLogs[0]
	value := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	own.Resource.Attributes = append(own.Resource.Attributes, &common.KeyValue{Key: "service.name", Value: value("keytrail")})
	record := own.ScopeLogs[0].LogRecords[0]
	record.TimeUnixNano, record.Body = uint64(at.UnixNano()), value("record "+id)
	for i := 0; i < len(pairs); i += 2 {
		record.Attributes = append(record.Attributes, &common.KeyValue{Key: pairs[i], Value: value(pairs[i+1])})
	}
	bytes, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return sink.Record{Value: bytes, EventName: "aws.kms.api_call", Ref: id}
}

// lokiAnswer returns what Loki finds now: the lines, or each series' principal and value.
func lokiAnswer(t *testing.T, address, search string) (list []string) {
	t.Helper()
	way, span := "query_range", url.Values{"query": {search}, "since": {"1h"}}
	if strings.Contains(search, "count_over_time") {
		way, span = "query", url.Values{"query": {search}}
	}
	answer, err := http.Get("http://" + address + "/loki/api/v1/" + way + "?" + span.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var found struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
				Values [][]any
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d: %v", search, answer.StatusCode, err)
	}
	for _, one := range found.Data.Result {
		for _, line := range one.Values {
			list = append(list, fmt.Sprint(line[1]))
		}
		if one.Metric != nil {
			list = append(list, one.Metric["keytrail_principal_id"]+" "+fmt.Sprint(one.Value[1]))
		}
	}
	slices.Sort(list)
	return list
}
