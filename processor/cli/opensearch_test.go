package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"keytrail/processor/internal/opensearch"
)

// TestRunOpenSearch sends a trail through the pipeline into a real OpenSearch that is killed
// in the middle. The indices then hold the oracle's count, each window once.
func TestRunOpenSearch(t *testing.T) {
	heavy(t)
	node := opensearch.Start(t)
	b, tr := startBroker(t), newTrail(t, 37, 2500)
	file := b.config(t, fmt.Sprintf("  - {name: siem, type: opensearch, endpoint: %q, from: earliest, take: {windows: all},"+
		" retry: {base: 100ms, cap: 1s}}\n", node.URL))
	keytrail(t, nil, "sinks", "setup", "-c", file, "--apply", "siem").wants(t, 0, "7 changes are made")
	p := run(t, file, "")
	p.ready(t)
	half := len(tr.records) / 2
	b.produce(t, tr.records[:half])
	until(t, "the first events are in the index", func() bool { return len(documents(t, node.URL, "keytrail-events-*")) > 0 })
	node.Kill()
	b.produce(t, tr.records[half:])
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	if err := node.Launch(); err != nil {
		t.Fatal(err)
	}
	last := ""
	until(t, "the indices have the oracle's windows", func() bool {
		got := map[string]string{}
		for _, doc := range documents(t, node.URL, "keytrail-windows-*") {
			name, text := windowText(recordOf(doc))
			if _, twice := got[name]; twice {
				t.Fatalf("%s stands twice", name)
			}
			if !isCloser(name) && doc["keytrail.window.state"] == "final" {
				got[name] = text
			}
		}
		last = difference(got, tr.want)
		return last == ""
	})
	until(t, "the indices have the events", func() bool {
		events := map[string]bool{}
		for _, doc := range documents(t, node.URL, "keytrail-events-*") {
			id := recordOf(doc).str("log.record.uid")
			if events[id] {
				t.Fatalf("event %s stands twice", id)
			}
			events[id] = true
		}
		last = ""
		for id := range tr.ids {
			if !events[id] {
				last = "event " + id + " is missing"
			}
		}
		return last == ""
	})
	want := b.anomalies(t)
	until(t, "the indices have the anomalies", func() bool { return len(documents(t, node.URL, "keytrail-anomalies-*")) == len(want) })
	p.stop(t, syscall.SIGTERM)
}

// documents returns all documents of an index, by id; none while the node is away.
func documents(t *testing.T, url, index string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	if _, err := http.Post(url+"/"+index+"/_refresh", "application/json", nil); err != nil {
		return all
	}
	after := ""
	for {
		body := `{"size":5000,"sort":[{"log.record.uid":{"order":"asc","unmapped_type":"keyword"}},{"keytrail.window.id":"asc"},{"keytrail.anomaly.id":"asc"}]` + after + `}`
		response, err := http.Post(url+"/"+index+"/_search", "application/json", strings.NewReader(body))
		if err != nil {
			return all
		}
		text, err := io.ReadAll(response.Body)
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Hits struct {
				Hits []struct {
					ID     string          `json:"_id"`
					Source map[string]any  `json:"_source"`
					Sort   json.RawMessage `json:"sort"`
				}
			}
		}
		if err != nil || json.Unmarshal(text, &answer) != nil || len(answer.Hits.Hits) == 0 {
			return all
		}
		for _, h := range answer.Hits.Hits {
			all[h.ID] = h.Source
		}
		after = `,"search_after":` + string(answer.Hits.Hits[len(answer.Hits.Hits)-1].Sort)
	}
}

// recordOf returns a document as a record.
func recordOf(doc map[string]any) record {
	r := record{attrs: map[string]*commonpb.AnyValue{}}
	for name, v := range doc {
		switch v := v.(type) {
		case string:
			r.attrs[name] = &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
		case float64:
			r.attrs[name] = &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(v)}}
		}
	}
	return r
}
