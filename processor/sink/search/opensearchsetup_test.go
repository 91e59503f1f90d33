package search

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// apply sets the node up, and holds that nothing is left to be done afterwards.
func (n node) apply(t *testing.T, change func(*Settings)) {
	t.Helper()
	c := OpenSearch{defaults()}
	c.Endpoint = n.URL
	if change != nil {
		change(&c.Settings)
	}
	for round := range 2 {
		p, err := c.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if round == 1 && len(p.Changes) > 0 {
			t.Errorf("after a setup it would still change %v", p.Changes)
		}
		if err := p.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// setup installs the templates and looks at the mapping of an index that is made by them.
func (n node) setup(t *testing.T) {
	n.apply(t, nil)
	if err := connect(t, n.URL, nil).Deliver(t.Context(), []sink.Record{event("e", began), windowOf("w", began, 2)}); err != nil {
		t.Fatal(err)
	}
	fields := n.ask(t, "GET", "/keytrail-windows-2026.11/_field_caps?fields=*", "")
	for name, want := range map[string]string{"@timestamp": "date_nanos", "body": "text", semconv.KeytrailWindowStart: "date_nanos",
		semconv.KeytrailWindowCallsTotal: "long", semconv.KeytrailAnomalyScore: "double", semconv.KeytrailPrincipalID: "keyword",
		semconv.KeytrailWindowRollup: "boolean", semconv.KeytrailAnomalyTechniques: "keyword"} {
		if dig(fields, "fields", name, want) == nil {
			t.Errorf("the field %s is %v, want %s", name, dig(fields, "fields", name), want)
		}
	}
	// A template that somebody has changed is shown and mended.
	c := OpenSearch{defaults()}
	c.Endpoint = n.URL
	n.ask(t, "PUT", "/_index_template/keytrail-windows", `{"index_patterns":["keytrail-windows-*"],"priority":7,"composed_of":["keytrail-mappings"]}`)
	p, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "[+ _meta.managed_by: \"keytrail sinks setup\" ~ priority: 7 -> 500]"
	if len(p.Changes) != 1 || fmt.Sprint(p.Changes[0].Lines) != want || p.Changes[0].New {
		t.Errorf("%+v", p.Changes)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	n.apply(t, nil)
	n.apply(t, func(c *Settings) { c.Body = "ecs" })
	n.apply(t, nil)
	e := Elasticsearch(c)
	if _, err := e.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "the receiver is OpenSearch 2.19.6; write type: opensearch") {
		t.Errorf("type elasticsearch: %v", err)
	}
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// views runs every search of the dashboard and of the documentation over indices that the
// templates made: each finds a record, and each of its aggregations a bucket.
func (n node) views(t *testing.T) {
	n.apply(t, nil)
	full := func(r *otellog.Record) {
		r.String(semconv.AWSKMSKeyARN, "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f")
		r.String(semconv.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/export")
		r.String(semconv.KeytrailCallID, "c")
		r.String(semconv.RPCMethod, "kms/Decrypt")
		r.String(semconv.KeytrailOutcome, "denied")
		r.String(semconv.KeytrailWindowID, "w")
		r.String(semconv.KeytrailWindowScope, "pair")
		r.Int(semconv.KeytrailWindowCallsTotal, 7)
		r.String(semconv.KeytrailAnomalyID, "a")
		r.String(semconv.KeytrailAnomalySeverity, "high")
		r.String(semconv.KeytrailAnomalyDetector, "rate")
	}
	err := connect(t, n.URL, nil).Deliver(t.Context(), []sink.Record{record(semconv.EventAWSKMSAPICall, began, full),
		record(semconv.EventKeytrailWindow, began, full), record(semconv.EventKeytrailAnomaly, began, full)})
	if err != nil {
		t.Fatal(err)
	}
	n.ask(t, "POST", "/keytrail-*/_refresh", "")
	for _, v := range append(dashboardViews(t), pageViews(t)...) {
		request := object{"query": object{"query_string": object{"query": v.query}}}
		if v.aggregations != nil {
			request["aggs"] = v.aggregations
		}
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		said := n.ask(t, "POST", "/"+v.index+"/_search", string(text))
		if hits, ok := dig(said, "hits", "total", "value").(float64); !ok || hits < 1 {
			t.Errorf("%s: %s finds nothing: %v", v.title, text, said)
		}
		found, err := json.Marshal(said["aggregations"])
		if err != nil || strings.Contains(string(found), `"buckets":[]`) || strings.Contains(string(found), `"value":null`) {
			t.Errorf("%s: %s finds %s", v.title, text, found)
		}
	}
	n.stored(t)
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// stored runs the stored searches with their defaults and with parameters.
func (n node) stored(t *testing.T) {
	f := func(index, id, params string, want float64, path ...any) {
		t.Helper()
		said := n.ask(t, "POST", "/"+index+"*/_search/template", `{"id":"`+id+`","params":`+params+`}`)
		if got := dig(said, path...); got != want {
			t.Errorf("%s with %s: %v is %v, want %v: %v", id, params, path, got, want, said)
		}
	}
	total := []any{"hits", "total", "value"}
	f("keytrail-anomalies", "keytrail-anomalies", `{"since":"2026-01-01T00:00:00Z","size":1}`, 1, total...)
	f("keytrail-anomalies", "keytrail-anomalies", `{"since":"2200-01-01T00:00:00Z"}`, 0, total...)
	f("keytrail-anomalies", "keytrail-anomalies", `{}`, 0, "_shards", "failed")
	const key = `"key":"arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"`
	f("keytrail-events", "keytrail-principals", `{`+key+`,"since":"2026-01-01T00:00:00Z"}`, 1, "aggregations", "principals",
		"buckets", 0, "calls", "value")
	f("keytrail-events", "keytrail-principals", `{`+key+`}`, 0, "_shards", "failed")
}
