package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/internal/opensearch"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// TestOpenSearch runs against a real OpenSearch node, which takes bodies of up to 3 MB.
func TestOpenSearch(t *testing.T) {
	n := node{opensearch.Start(t, "http.max_content_length=3mb")}
	t.Run("answers", n.answers)
	t.Run("setup", n.setup)
	t.Run("views", n.views)
	t.Run("upsert", n.upsert)
	t.Run("too large", n.tooLarge)
	t.Run("stream", n.stream)
	t.Run("restart", n.restart)
}

type node struct{ *opensearch.Node }

// ask sends a request to the node and returns the answer's body.
func (n node) ask(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("%s %s: status %d, %v: %s", method, path, response.StatusCode, err, said)
	}
	var read map[string]any
	if err := json.Unmarshal(said, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// held returns the documents of an index: their sources by id.
func (n node) held(t *testing.T, index string) map[string]map[string]any {
	t.Helper()
	n.ask(t, "POST", "/"+index+"/_refresh", "")
	docs := map[string]map[string]any{}
	hits, _ := dig(n.ask(t, "GET", "/"+index+"/_search?size=10000&version=true", ""), "hits", "hits").([]any)
	for _, hit := range hits {
		id := fmt.Sprint(dig(hit, "_id"))
		if docs[id] != nil {
			t.Errorf("%s has the id %q twice", index, id)
		}
		docs[id], _ = dig(hit, "_source").(map[string]any)
	}
	return docs
}

// answers brings the node to each answer of the table and delivers a record that it takes
// and one that it does not.
func (n node) answers(t *testing.T) {
	cluster := func(settings string) func() {
		return func() { n.ask(t, "PUT", "/_cluster/settings", `{"transient":`+settings+`}`) }
	}
	index := func(settings string) func() {
		return func() { n.ask(t, "PUT", "/keytrail-events-2026.11.30/_settings", settings) }
	}
	first := func() {
		n.ask(t, "PUT", "/keytrail-events-2026.11.30", `{"settings":{"index.mapping.total_fields.limit":30}}`)
	}
	ordinary, other := event("1", began), event("2", began.Add(48*time.Hour))
	number := record(semconv.EventAWSKMSAPICall, began, func(r *otellog.Record) { r.String(semconv.LogRecordUID, "text"); r.Int("n", 1) })
	text := record(semconv.EventAWSKMSAPICall, began, func(r *otellog.Record) { r.String(semconv.LogRecordUID, "number"); r.String("n", "one") })
	wide := record(semconv.EventAWSKMSAPICall, began, func(r *otellog.Record) {
		for i := range 31 {
			r.Int(fmt.Sprint("field", i), 1)
		}
	})
	nothing := func() {}
	for _, c := range []struct {
		name         string
		make, unmake func()
		record       sink.Record
		want, words  string
	}{
		{"a new document", first, nothing, ordinary, "taken", ""},
		{"the same again", nothing, nothing, ordinary, "taken", "the sink had 1 of the records already"},
		{"a number", nothing, nothing, number, "taken", ""},
		{"a text where a number was", nothing, nothing, text, "refused invalid", "failed to parse field [n] of type [long]"},
		{"more fields than allowed", nothing, nothing, wide, "paused target", "Limit of total fields [30] has been exceeded"},
		{"a full disk", index(`{"index.blocks.read_only_allow_delete":true}`), index(`{"index.blocks.read_only_allow_delete":null}`),
			event("3", began), "again", "flood-stage"},
		{"a blocked index", index(`{"index.blocks.write":true}`), index(`{"index.blocks.write":null}`),
			event("3", began), "paused target", "index write (api)"},
		{"a closed index", func() { n.ask(t, "POST", "/keytrail-events-2026.11.30/_close", "") },
			func() { n.ask(t, "POST", "/keytrail-events-2026.11.30/_open?wait_for_active_shards=1", "") },
			event("3", began), "paused target", "index_closed_exception"},
		{"a blocked cluster", cluster(`{"cluster.blocks.read_only":true}`), cluster(`{"cluster.blocks.read_only":null}`),
			other, "paused target", "cluster read-only (api)"},
		{"no index made by itself", cluster(`{"action.auto_create_index":"false"}`), cluster(`{"action.auto_create_index":null}`),
			other, "paused target", "no such index"},
		{"no shard left", cluster(`{"cluster.max_shards_per_node":1}`), cluster(`{"cluster.max_shards_per_node":null}`),
			other, "paused target", "maximum shards open"},
		{"no memory left", cluster(`{"network.breaker.inflight_requests.limit":"1b"}`),
			nothing, other, "again", "circuit_breaking_exception"},
	} {
		c.make()
		err := connect(t, n.URL, nil).Deliver(t.Context(), []sink.Record{c.record})
		if got := ends(err, 1)[0]; got != c.want || !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%s: %s (%v), want %s with %q", c.name, got, err, c.want, c.words)
		}
		c.unmake()
	}
	n.mendMemory(t)
	// A good record is stored although others of its batch are refused.
	err := connect(t, n.URL, nil).Deliver(t.Context(), []sink.Record{text, other, event("3", began)})
	if got := ends(err, 3); !slices.Equal(got, []string{"refused invalid", "taken", "taken"}) {
		t.Errorf("%v (%v)", got, err)
	}
	if docs := n.held(t, "keytrail-events-*"); len(docs) != 4 {
		t.Errorf("the node holds %v", docs)
	}
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// mendMemory ends the breaker, which refuses requests with a body: it is a new node.
func (n node) mendMemory(t *testing.T) {
	t.Helper()
	n.Stop()
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
}

// upsert delivers revisions of windows and anomalies in any order and repeatedly, and
// events repeatedly, and compares the sums in the node with those of the records.
func (n node) upsert(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	newest := map[string]int{}
	var batch []sink.Record
	calls := 0
	for i := range 60 {
		id, revisions := fmt.Sprint("w", i), 1+random.IntN(5)
		start := began.Add(time.Duration(random.IntN(40*24)) * time.Hour)
		for revision := range revisions {
			batch = append(batch, windowOf(id, start, revision), anomalyOf("a"+id, start, start.Add(time.Duration(revision)*24*time.Hour), revision))
		}
		newest[id] = revisions - 1
		calls += revisions - 1
		batch = append(batch, event(fmt.Sprint("e", i), start))
	}
	batch = append(batch, batch[:100]...)
	random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	var dead []string
	outcomes := map[sink.Outcome]int{}
	runner := run(t, connect(t, n.URL, nil), &dead, outcomes)
	for part := range slices.Chunk(batch, 37) {
		if err := runner.Deliver(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if len(dead) > 0 || outcomes[sink.OutcomeDelivered]+outcomes[sink.OutcomeDuplicate] != len(batch) || outcomes[sink.OutcomeDuplicate] == 0 {
		t.Errorf("outcomes %v of %d records, dead letters %q", outcomes, len(batch), dead)
	}
	for _, kind := range []string{kindWindows, kindAnomalies} {
		docs := n.held(t, "keytrail-"+kind+"-*")
		if len(docs) != len(newest) {
			t.Errorf("%d %s, want %d", len(docs), kind, len(newest))
		}
		for id, revision := range newest {
			if kind == kindAnomalies {
				id = "a" + id
			}
			if got := docs[id][semconv.KeytrailWindowCallsTotal]; got != float64(revision) {
				t.Errorf("%s %s has %v calls, want those of revision %d", kind, id, got, revision)
			}
		}
		sum := n.ask(t, "POST", "/keytrail-"+kind+"-*/_search?size=0",
			`{"aggs":{"calls":{"sum":{"field":"`+semconv.KeytrailWindowCallsTotal+`"}}}}`)
		if got := dig(sum, "aggregations", "calls", "value"); got != float64(calls) {
			t.Errorf("the sum of calls in %s is %v, want %d", kind, got, calls)
		}
	}
	if docs := n.held(t, "keytrail-events-*"); len(docs) != 60 {
		t.Errorf("%d events, want 60", len(docs))
	}
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// tooLarge delivers more than the node takes in one request, and one document that it does
// not take alone.
func (n node) tooLarge(t *testing.T) {
	var batch []sink.Record
	for i := range 12 {
		size := 500 << 10
		if i == 5 {
			size = 4 << 20
		}
		batch = append(batch, record(semconv.EventAWSKMSAPICall, began, func(r *otellog.Record) {
			r.String(semconv.LogRecordUID, fmt.Sprint(i))
			r.Body = strings.Repeat("word ", size/5)
		}))
	}
	to := connect(t, n.URL, func(c *Settings) { c.Compression = "none" })
	to.turn = time.Hour
	err := to.Deliver(t.Context(), batch)
	for i, end := range ends(err, len(batch)) {
		if (end == "refused too_large") != (i == 5) || i != 5 && end != "taken" {
			t.Errorf("record %d: %s (%v)", i, end, err)
		}
	}
	if docs := n.held(t, "keytrail-events-*"); len(docs) != 11 {
		t.Errorf("%d documents, want 11", len(docs))
	}
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// stream delivers events to a data stream: not before its template is there, and twice only
// across a rollover.
func (n node) stream(t *testing.T) {
	streamed := func(c *Settings) { c.Index.Events = Stream }
	n.ask(t, "DELETE", "/_index_template/keytrail-events", "")
	err := connect(t, n.URL, streamed).Deliver(t.Context(), []sink.Record{event("1", began)})
	if got := ends(err, 1)[0]; got != "paused target" || !strings.Contains(err.Error(), "run keytrail sinks setup") {
		t.Fatalf("without a template: %s (%v)", got, err)
	}
	n.apply(t, streamed)
	to := connect(t, n.URL, streamed)
	for range 2 {
		if err := to.Deliver(t.Context(), []sink.Record{event("1", began), windowOf("w", began, 1), event("2", began)}); ends(err, 3)[0] != "taken" {
			t.Fatal(err)
		}
	}
	if docs := n.held(t, "keytrail-events"); len(docs) != 2 {
		t.Errorf("the stream holds %v", docs)
	}
	n.ask(t, "POST", "/keytrail-events/_rollover", "")
	if err := to.Deliver(t.Context(), []sink.Record{event("1", began)}); err != nil {
		t.Error(err)
	}
	n.ask(t, "POST", "/keytrail-events/_refresh", "")
	if got := dig(n.ask(t, "GET", "/keytrail-events/_count", ""), "count"); got != 3.0 {
		t.Errorf("after a rollover the stream holds %v documents; docs/sinks.md says that a repetition is stored", got)
	}
	n.ask(t, "DELETE", "/_data_stream/keytrail-events", "")
	n.ask(t, "DELETE", "/keytrail-*", "")
}

// restart kills the node in the middle of a delivery and starts it again: all records are
// there afterwards, each once.
func (n node) restart(t *testing.T) {
	var dead []string
	outcomes := map[sink.Outcome]int{}
	runner := run(t, connect(t, n.URL, nil), &dead, outcomes)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const batches, size = 40, 50
	done := make(chan error, 1)
	half := make(chan struct{})
	go func() {
		var failed error
		for b := range batches {
			var batch []sink.Record
			for i := range size {
				batch = append(batch, event(fmt.Sprint(b, "-", i), began), windowOf(fmt.Sprint("w", i), began, b))
			}
			failed = errors.Join(failed, runner.Deliver(ctx, batch))
			if b == batches/2 {
				close(half)
			}
		}
		done <- failed
	}()
	<-half
	n.Kill()
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || len(dead) > 0 {
		t.Fatalf("%v; dead letters %q", err, dead)
	}
	events, windows := n.held(t, "keytrail-events-*"), n.held(t, "keytrail-windows-*")
	if len(events) != batches*size || len(windows) != size {
		t.Errorf("%d events and %d windows, want %d and %d", len(events), len(windows), batches*size, size)
	}
	for id, doc := range windows {
		if doc[semconv.KeytrailWindowCallsTotal] != float64(batches-1) {
			t.Errorf("window %s is %v", id, doc)
		}
	}
	if outcomes[sink.OutcomeRetried] == 0 {
		t.Error("the node was not away")
	}
}
