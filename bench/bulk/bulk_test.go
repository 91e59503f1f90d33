package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
	"github.com/opensearch-project/opensearch-go/v4/opensearchutil"

	"keytrail/processor/sink"
	"keytrail/processor/sink/search"
	"keytrail/schemas/otellog"
)

// TestBulkBodies holds the bodies of the sinks opensearch and elasticsearch against those
// that the clients of OpenSearch and Elastic write for the same documents: the same actions
// and, byte for byte, the same documents.
func TestBulkBodies(t *testing.T) {
	batch := []sink.Record{
		bulkRecord("aws.kms.api_call", func(r *otellog.Record) {
			r.String("log.record.uid", "e\"\\\u2028<é")
			r.Body = "{\"a\":\"\\u0000\n\"}"
		}),
		bulkRecord("keytrail.window", func(r *otellog.Record) {
			r.String("keytrail.window.id", "w")
			r.String("keytrail.window.start", "2026-11-30T23:55:00Z")
			r.Int("keytrail.window.revision", 3)
		}),
		bulkRecord("keytrail.anomaly", func(r *otellog.Record) {
			r.String("keytrail.anomaly.id", "a")
			r.String("keytrail.anomaly.began", "2026-11-30T23:55:00Z")
			r.Double("keytrail.anomaly.score", 8.25)
		}),
	}
	got := sent(t, func(url string) {
		c := search.DefaultOpenSearch()
		c.Endpoint, c.Compression = url, "none"
		to, err := c.Open(sink.Identity{Name: "x", Group: "x"})
		if err == nil {
			err = to.Deliver(t.Context(), batch)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(got) != 3 {
		t.Fatalf("%d documents, want 3", len(got))
	}
	for name, write := range map[string]func(url string, d bulkDocument) error{"opensearch-go": byOpenSearch, "go-elasticsearch": byElastic} {
		for i, d := range got {
			want := sent(t, func(url string) {
				if err := write(url, d); err != nil {
					t.Fatal(err)
				}
			})
			if len(want) != 1 || !reflect.DeepEqual(d, want[0]) {
				t.Errorf("document %d: the sink sends\n%+v\n%s sends\n%+v", i, d, name, want)
			}
		}
	}
}

func bulkRecord(event string, fill func(*otellog.Record)) sink.Record {
	var r otellog.Record
	r.EventName, r.Time = event, time.Date(2026, 11, 30, 23, 58, 0, 1, time.UTC).UnixNano()
	fill(&r)
	return sink.Record{Value: otellog.AppendRequest(nil, &r), EventName: event}
}

// bulkDocument is one document of a bulk request.
type bulkDocument struct {
	op     string
	action bulkAction
	source string
}

type bulkAction struct {
	Index       string `json:"_index"`
	ID          string `json:"_id"`
	Version     *int64 `json:"version"`
	VersionType string `json:"version_type"`
}

// sent returns the documents that a receiver gets.
func sent(t *testing.T, write func(url string)) (list []bulkDocument) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var items []string
		lines := bytes.Split(body, []byte("\n"))
		for i := 0; i+1 < len(lines); i += 2 {
			d := json.NewDecoder(bytes.NewReader(lines[i]))
			d.DisallowUnknownFields()
			var one map[string]bulkAction
			if err := d.Decode(&one); err != nil || len(one) != 1 {
				t.Errorf("%s: %v", lines[i], err)
			}
			for op, a := range one {
				list = append(list, bulkDocument{op, a, string(lines[i+1])})
				items = append(items, fmt.Sprintf(`{%q:{"status":201}}`, op))
			}
		}
		fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, strings.Join(items, ","))
	}))
	defer server.Close()
	write(server.URL)
	return list
}

func byOpenSearch(url string, d bulkDocument) error {
	client, err := opensearchapi.NewClient(opensearchapi.Config{Client: opensearch.Config{Addresses: []string{url}}})
	if err != nil {
		return err
	}
	b, err := opensearchutil.NewBulkIndexer(opensearchutil.BulkIndexerConfig{Client: client, NumWorkers: 1})
	if err != nil {
		return err
	}
	item := opensearchutil.BulkIndexerItem{Index: d.action.Index, Action: d.op, DocumentID: d.action.ID, Version: d.action.Version,
		Body: strings.NewReader(d.source)}
	if d.action.VersionType != "" {
		item.VersionType = &d.action.VersionType
	}
	if err := b.Add(context.Background(), item); err != nil {
		return err
	}
	return b.Close(context.Background())
}

func byElastic(url string, d bulkDocument) error {
	client, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{url}})
	if err != nil {
		return err
	}
	b, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: client, NumWorkers: 1})
	if err != nil {
		return err
	}
	err = b.Add(context.Background(), esutil.BulkIndexerItem{Index: d.action.Index, Action: d.op, DocumentID: d.action.ID,
		Version: d.action.Version, VersionType: d.action.VersionType, Body: strings.NewReader(d.source)})
	if err != nil {
		return err
	}
	return b.Close(context.Background())
}
