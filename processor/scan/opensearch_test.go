package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/anomaly"
	"keytrail/processor/generate"
	"keytrail/processor/internal/opensearch"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
)

// TestOpenSearchTakesEveryRecord loads every kind of record into a real OpenSearch, which
// nests names at their dots: the log records of the events that package normalize is
// tested with, and the windows and anomalies of a made-up trail. All go into one index with
// the mapping that OpenSearch derives by itself.
func TestOpenSearchTakesEveryRecord(t *testing.T) {
	node := opensearch.Start(t)
	golden, err := filepath.Glob("../../schemas/aws/normalize/testdata/*.golden.jsonl")
	if err != nil || len(golden) < 40 {
		t.Fatalf("%d files of normalized events: %v", len(golden), err)
	}
	var lines [][]byte
	for _, name := range golden {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(line, []byte(`{"resourceLogs"`)) {
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, judged(t)...)

	var bulk bytes.Buffer
	kinds := map[string]int{}
	for i, line := range lines {
		name, doc := document(t, line)
		kinds[name]++
		fmt.Fprintf(&bulk, `{"index":{"_index":"records","_id":"%d"}}`+"\n%s\n", i, doc)
	}
	if len(kinds) != 5 || kinds["keytrail.anomaly"] < 5 {
		t.Fatalf("the records are of the kinds %v, want all five", kinds)
	}
	var answer struct {
		Errors bool
		Items  []struct {
			Index struct{ Error json.RawMessage }
		}
	}
	ask(t, "POST", node.URL+"/_bulk?refresh=true", &bulk, &answer)
	for i, item := range answer.Items {
		if len(item.Index.Error) > 0 {
			t.Errorf("%s\nis refused: %s", lines[i], item.Index.Error)
		}
	}
	var counted struct{ Count int }
	ask(t, "GET", node.URL+"/records/_count", nil, &counted)
	if answer.Errors || counted.Count != len(lines) {
		t.Errorf("OpenSearch holds %d of %d records", counted.Count, len(lines))
	}
	t.Logf("OpenSearch took %d records: %v", counted.Count, kinds)
}

// judged returns the anomalies of a made-up trail and some of its windows, as log records.
func judged(t *testing.T) (lines [][]byte) {
	t.Helper()
	dir := trail(t, generate.Config{Seed: 3, Duration: 24 * time.Hour, Keys: 10, Principals: 10})
	s := New(Config{Detect: window.DefaultConfig(), Workers: 1, Now: time.Unix(0, 0)})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{dir})); err != nil {
		t.Fatal(err)
	}
	var rec otellog.Record
	windows := 0
	_, err := s.Finish(func(r *window.Result) error {
		for i := range r.Anomalies {
			anomaly.AnomalyRecord(&rec, &r.Anomalies[i], 1)
			lines = append(lines, otellog.AppendJSON(nil, &rec))
		}
		if windows++; windows <= 500 || len(r.Anomalies) > 0 {
			anomaly.WindowRecord(&rec, r.Window, window.DefaultConfig().Size, 1)
			lines = append(lines, otellog.AppendJSON(nil, &rec))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// document returns a log record as a sink would write it: one object with the names as
// they are.
func document(t *testing.T, line []byte) (event string, doc []byte) {
	t.Helper()
	var data logs.LogsData
	if err := protojson.Unmarshal(line, &data); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	resource := data.ResourceLogs[0]
	rec := resource.ScopeLogs[0].LogRecords[0]
	fields := map[string]any{
		"@timestamp": time.Unix(0, int64(rec.TimeUnixNano)).UTC().Format(time.RFC3339Nano), "event_name": rec.EventName,
		"severity_number": rec.SeverityNumber, "severity_text": rec.SeverityText, "body": rec.Body.GetStringValue(),
	}
	for _, list := range [][]*common.KeyValue{resource.Resource.Attributes, rec.Attributes} {
		for _, a := range list {
			if _, twice := fields[a.Key]; twice {
				t.Errorf("%s stands twice: %s", a.Key, line)
			}
			fields[a.Key] = native(t, a.Value)
		}
	}
	doc, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return rec.EventName, doc
}

// native returns an AnyValue in the types of encoding/json.
func native(t *testing.T, v *common.AnyValue) any {
	t.Helper()
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_ArrayValue:
		list := []any{}
		for _, item := range v.ArrayValue.Values {
			list = append(list, native(t, item))
		}
		return list
	}
	t.Fatalf("no attribute may be a %T: its names would be the caller's", v.Value)
	return nil
}

// ask sends a request and decodes the answer.
func ask(t *testing.T, method, url string, body io.Reader, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", strconv.Itoa(response.StatusCode))
	}
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %.500s", method, url, err, text)
	}
}
