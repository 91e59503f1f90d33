package search

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/otellog"
)

// ends returns the end of each record of a batch of n, as package sink reads it.
func ends(err error, n int) []string {
	list := slices.Repeat([]string{"taken"}, n)
	again := func(what string, records []int) {
		for i := range list {
			if records == nil || slices.Contains(records, i) {
				list[i] = what
			}
		}
	}
	var rejected []*sink.Rejected
	var visit func(error)
	visit = func(err error) {
		switch e := err.(type) {
		case nil, *sink.Duplicate:
		case *sink.Rejected:
			rejected = append(rejected, e)
		case *sink.Throttled:
			again("again", e.Records)
		case *sink.Paused:
			again("paused "+string(e.Cause), nil)
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				visit(one)
			}
		default:
			again("again", nil)
		}
	}
	visit(err)
	for _, r := range rejected {
		for _, i := range r.Records {
			list[i] = "refused " + string(r.Reason)
		}
		if r.Records == nil {
			list = slices.Repeat([]string{"BUG: refused whole"}, n)
		}
	}
	return list
}

// row is the answer to one item, and the end of its record.
type row struct {
	status             int
	kind, reason, want string
}

// verdicts is the table of the documentation.
var verdicts = []row{
	{201, "", "", "taken"},
	{200, "", "", "taken"},
	{409, "version_conflict_engine_exception", "[a]: version conflict, current version [3] is higher than the one provided [2]", "taken"},
	{409, "something_else", "", "again"},
	{408, "timeout", "", "again"},
	{429, "es_rejected_execution_exception", "rejected execution of coordinating operation", "again"},
	{429, "cluster_block_exception", "index [a] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];", "again"},
	{500, "exception", "", "again"},
	{502, "", "", "again"},
	{503, "unavailable_shards_exception", "primary shard is not active", "again"},
	{504, "", "", "again"},
	{401, "security_exception", "", "paused credentials"},
	{403, "security_exception", "no permissions for [indices:data/write/bulk]", "paused credentials"},
	{403, "cluster_block_exception", "index [a] blocked by: [FORBIDDEN/8/index write (api)];", "paused target"},
	{404, "index_not_found_exception", "no such index [a] and [action.auto_create_index] contains [-a] which forbids automatic creation of the index", "paused target"},
	{400, "index_closed_exception", "closed", "paused target"},
	{400, "validation_exception", "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [6]/[3] maximum shards open;", "paused target"},
	{400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", "paused target"},
	{400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams", "paused target"},
	{400, "illegal_argument_exception", "no write index is defined for alias [a]", "paused target"},
	{400, "illegal_argument_exception", "pipeline with id [geo] does not exist", "paused target"},
	{400, "illegal_argument_exception", `Document contains at least one immense term in field="x"`, "refused invalid"},
	{400, "mapper_parsing_exception", "failed to parse field [x]", "refused invalid"},
	{400, "document_parsing_exception", "[1:9] failed to parse field [x]", "refused invalid"},
	{400, "strict_dynamic_mapping_exception", "mapping set to strict", "refused invalid"},
	{413, "", "", "refused too_large"},
	{302, "", "", "paused protocol"},
	{0, "", "", "paused protocol"},
}

// reply returns the answer of row i.
func replyOf(i int) reply {
	v := verdicts[i]
	r := reply{Status: v.status}
	if v.kind != "" {
		r.Error = map[string]any{"type": v.kind, "reason": v.reason, "caused_by": map[string]any{"type": "inner", "reason": "for input " + v.want}}
	}
	return r
}

// TestItems: each item of an answer ends the record that it is about as the table says, with
// the receiver's words, whatever the other items are. A pause is about a whole batch: it shows
// when no record has another end.
func TestItems(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 500 {
		n := 1 + random.IntN(6)
		rows := make([]int, n)
		batch := make([]sink.Record, n)
		for i := range rows {
			rows[i] = random.IntN(len(verdicts))
			if round < len(verdicts) {
				rows[i] = round
			}
			batch[i] = event(fmt.Sprint(i), began)
		}
		s := newStandIn(t)
		next := 0
		s.change = func(_ action, _ []byte, said *reply) { *said, next = replyOf(rows[next]), next+1 }
		err := connect(t, s.URL, nil).Deliver(t.Context(), batch)
		got := ends(err, n)
		pause, ended := "", false
		for _, row := range rows {
			want := verdicts[row].want
			if ended = ended || want == "taken" || strings.HasPrefix(want, "refused"); pause == "" && strings.HasPrefix(want, "paused") {
				pause = want
			}
		}
		for i, row := range rows {
			want := verdicts[row].want
			switch {
			case ended && strings.HasPrefix(want, "paused"):
				want = "again"
			case !ended && pause != "":
				want = pause
			}
			if got[i] != want {
				t.Fatalf("round %d: item %d of %v ends as %q, want %q (%v)", round, i, rows, got[i], want, err)
			}
			words := []string{verdicts[row].reason, "for input " + want}
			for _, w := range words {
				if strings.HasPrefix(want, "refused") && verdicts[row].kind != "" && !strings.Contains(err.Error(), w) {
					t.Fatalf("the error %v lacks %q", err, w)
				}
			}
		}
		s.Close()
	}
}

// TestFailureStore: a document that the receiver has put into its failure store is refused,
// although the status is one of success.
func TestFailureStore(t *testing.T) {
	s := newStandIn(t)
	for store, want := range map[string]string{"used": "refused invalid", "not_enabled": "taken", "not_applicable_or_unknown": "taken"} {
		s.change = func(_ action, _ []byte, said *reply) { *said = reply{Status: 201, FailureStore: store} }
		err := connect(t, s.URL, nil).Deliver(t.Context(), []sink.Record{event("a", began)})
		if got := ends(err, 1)[0]; got != want {
			t.Errorf("failure store %s: %s (%v), want %s", store, got, err, want)
		}
	}
}

// TestDeadLetterDuringRetry: a record that is refused goes to the dead letter at once, with
// the receiver's words, although the rest of its batch is sent again and ends well.
func TestDeadLetterDuringRetry(t *testing.T) {
	s := newStandIn(t)
	attempts := map[string]int{}
	s.change = func(a action, _ []byte, said *reply) {
		if attempts[a.ID]++; a.ID == "bad" {
			*said = replyOf(slices.IndexFunc(verdicts, func(v row) bool { return v.kind == "mapper_parsing_exception" }))
		} else if attempts[a.ID] < 3 && a.ID != "good" {
			*said = reply{Status: 429, Error: map[string]any{"type": "es_rejected_execution_exception", "reason": "full"}}
		}
	}
	outcomes := map[sink.Outcome]int{}
	var dead []string
	runner := run(t, connect(t, s.URL, nil), &dead, outcomes)
	batch := []sink.Record{event("slow", began), event("bad", began), event("good", began)}
	if err := runner.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if attempts["bad"] != 1 || attempts["good"] != 1 || attempts["slow"] != 3 {
		t.Errorf("attempts %v, want 1 of bad, 1 of good, 3 of slow", attempts)
	}
	if len(dead) != 1 || !strings.Contains(dead[0], "mapper_parsing_exception: failed to parse field [x] (for input refused invalid)") {
		t.Errorf("dead letters %q", dead)
	}
	if outcomes[sink.OutcomeDelivered] != 1 || outcomes[sink.OutcomeDuplicate] != 1 || outcomes[sink.OutcomeDeadLettered] != 1 {
		t.Errorf("outcomes %v", outcomes) // slow was stored at its first attempt: then it is a duplicate
	}
}

// run returns a Runner around a sink that notes its dead letters and outcomes.
func run(t *testing.T, to sink.Sink, dead *[]string, outcomes map[sink.Outcome]int) *sink.Runner {
	t.Helper()
	runner, err := sink.NewRunner(sink.Options{
		Name: "siem", Sink: to, Batch: sink.DefaultBatch(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Retry:  sink.Retry{Base: time.Millisecond, Cap: 50 * time.Millisecond},
		Random: func() float64 { return 0.1 },
		DeadLetter: func(_ context.Context, _ sink.Record, reason sink.Reason, err error) error {
			*dead = append(*dead, fmt.Sprintf("%s: %v", reason, err))
			return nil
		},
		Observe: func(o sink.Outcome, _ sink.Reason, n int) { outcomes[o] += n },
	})
	if err != nil {
		t.Fatal(err)
	}
	return runner
}

// TestBounds: requests have at most 5 MiB, or one document of at most 10 MiB; a longer one
// is refused with the limit.
func TestBounds(t *testing.T) {
	s := newStandIn(t)
	var batch []sink.Record
	sizes := []int{1 << 20, 3 << 20, 6 << 20, 100, 11 << 20, 4 << 20, 2 << 20}
	for i, n := range sizes {
		batch = append(batch, record("aws.kms.api_call", began, func(r *otellog.Record) {
			r.String("log.record.uid", fmt.Sprint(i))
			r.Body = strings.Repeat("x", n)
		}))
	}
	for range 5000 {
		batch = append(batch, event(fmt.Sprint(len(batch)), began))
	}
	err := connect(t, s.URL, nil).Deliver(t.Context(), batch)
	for i, end := range ends(err, len(batch)) {
		if (end == "refused too_large") != (i == 4) || i != 4 && end != "taken" {
			t.Fatalf("record %d: %s", i, end)
		}
	}
	if !strings.Contains(fmt.Sprint(err), "at most 10485760") {
		t.Errorf("the error %v does not name the limit", err)
	}
	if len(s.docs) != len(batch)-1 || len(s.sizes) > 9 {
		t.Errorf("%d documents in %d requests, want %d", len(s.docs), len(s.sizes), len(batch)-1)
	}
	for i, size := range s.sizes {
		if size > 5<<20 && !(size > 6<<20 && size < 6<<20+1000) {
			t.Errorf("request %d has %d bytes", i, size)
		}
	}
}

// TestHalving: a request that is refused as a whole is halved until the document at fault is
// alone, and every other document is stored: by the caller, or by the sink if the batch also
// has a record that cannot be encoded.
func TestHalving(t *testing.T) {
	for code, reason := range map[int]sink.Reason{400: sink.ReasonInvalid, 413: sink.ReasonTooLarge, 422: sink.ReasonInvalid} {
		for _, torn := range []bool{false, true} {
			s := newStandIn(t)
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				body, err := s.body(r)
				if err != nil {
					t.Error(err)
				}
				if bytes.Contains(body, []byte(`"poison"`)) {
					fail(w, code, "action_request_validation_exception", "it is poison")
					return true
				}
				w.Header().Set("Content-Type", "application/json")
				s.bulk(w, body)
				return true
			}
			batch := []sink.Record{event("a", began), event("b", began), event("poison", began), windowOf("w", began, 3), event("c", began)}
			if torn {
				batch = append(batch, sink.Record{Value: []byte("\x0a\x05a")})
			}
			var dead []string
			if err := run(t, connect(t, s.URL, nil), &dead, map[sink.Outcome]int{}).Deliver(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			dead = slices.DeleteFunc(dead, func(s string) bool { return torn && strings.Contains(s, "cannot decode") })
			if len(dead) != 1 || !strings.HasPrefix(dead[0], string(reason)+": ") || !strings.Contains(dead[0], "it is poison") || len(s.docs) != 4 {
				t.Errorf("status %d, torn %v: dead letters %q, %d documents", code, torn, dead, len(s.docs))
			}
		}
	}
}

// TestNotABulkAnswer: an answer with success that does not answer each item delivers nothing.
func TestNotABulkAnswer(t *testing.T) {
	s := newStandIn(t)
	text := ""
	s.answer = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, text); return true }
	to := connect(t, s.URL, nil)
	ok := `{"create":{"status":201}}`
	for _, text = range []string{"", "{}", "[]", "null", "<html>Please log in</html>", `{"acknowledged":true}`, `{"errors":false,"items":[]}`,
		`{"errors":false,"items":[` + ok + `]}`, `{"errors":false,"items":[` + ok + "," + ok + "," + ok + `]}`,
		`{"errors":false,"items":[` + ok + `,{"index":{"status":201}}]}`, `{"errors":false,"items":[` + ok + `,{}]}`,
		`{"errors":false,"items":[` + ok + `,{"create":{"status":201},"index":{"status":201}}]}`,
		`{"errors":false,"items":[` + ok + `,{"create":{"status":"created"}}]}`, `{"errors":false,"items":[` + ok + "," + ok,
		`{"errors":false,"items":{"0":` + ok + `}}`} {
		err := to.Deliver(t.Context(), []sink.Record{event("a", began), event("b", began)})
		if got := ends(err, 2); !slices.Equal(got, []string{"paused protocol", "paused protocol"}) {
			t.Errorf("%s: %v (%v)", text, got, err)
		}
	}
}

// TestLongAnswer: of an answer that is longer than what is read, the first verdicts count and
// the other records are sent again, until all are delivered or refused.
func TestLongAnswer(t *testing.T) {
	s := newStandIn(t)
	s.change = func(_ action, _ []byte, said *reply) {
		*said = reply{Status: 400, Error: map[string]any{"type": "mapper_parsing_exception", "reason": strings.Repeat("x", 300<<10)}}
	}
	outcomes := map[sink.Outcome]int{}
	var dead []string
	var batch []sink.Record
	for i := range 10 {
		batch = append(batch, event(fmt.Sprint(i), began))
	}
	if err := run(t, connect(t, s.URL, nil), &dead, outcomes).Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 10 || len(s.requests) != 4 {
		t.Errorf("%d dead letters after %d requests, want 10 after 4", len(dead), len(s.requests))
	}
}

// TestCredentials: each way to log in is the header that the receivers know, and a refusal
// keeps all records.
func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		want string
		set  func(*Settings)
	}{
		{"", func(*Settings) {}},
		{"Basic a2V5dHJhaWw6aHVudGVyMg==", func(c *Settings) { c.Username, c.Password = "keytrail", setting.NewSecret("hunter2") }},
		{"ApiKey aWQ6aHVudGVyMg==", func(c *Settings) { c.APIKey = setting.NewSecret("aWQ6aHVudGVyMg==") }},
		{"Bearer hunter2", func(c *Settings) { c.Token = setting.NewSecret("hunter2") }},
	} {
		s := newStandIn(t)
		to := connect(t, s.URL, c.set)
		if err := to.Deliver(t.Context(), []sink.Record{event("a", began)}); err != nil {
			t.Fatal(err)
		}
		if got := s.requests[0].Header.Get("Authorization"); got != c.want {
			t.Errorf("Authorization %q, want %q", got, c.want)
		}
		for code, want := range map[int]string{401: "paused credentials", 403: "paused credentials", 307: "paused redirect"} {
			s.answer = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				fail(w, code, "security_exception", "missing authentication credentials")
				return true
			}
			err := to.Deliver(t.Context(), []sink.Record{event("b", began)})
			if got := ends(err, 1)[0]; got != want || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("status %d: %s (%v)", code, got, err)
			}
		}
	}
}

// FuzzAnswer: whatever a receiver answers, no record counts as taken unless an item with
// success, or with a conflict of versions, stands in the answer for it.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"a","reason":"b"}}}]}`)
	f.Add(`{"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},{"create":{"status":201,"failure_store":"used"}}],"took":3}`)
	f.Add(`{"items":[{"create":{"status":200}},{"create":{"status":200}}],"items":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d := &delivery{sink: &Sink{}}
		err := d.judge(&httpsink.Answer{Status: 200, Body: []byte(text), Whole: true}, []doc{{record: 0, op: opCreate}, {record: 1, op: opCreate}})
		err = errors.Join(err, d.end(2))
		var answer struct {
			Items []struct{ Create struct{ Status int } }
		}
		said := json.Unmarshal([]byte(text), &answer)
		for i, end := range ends(err, 2) {
			if end != "taken" {
				continue
			}
			if said != nil || i >= len(answer.Items) || answer.Items[i].Create.Status/100 != 2 && answer.Items[i].Create.Status != 409 {
				t.Errorf("%q: record %d counts as taken", text, i)
			}
		}
		var whole *sink.Rejected
		if errors.As(err, &whole) && whole.Records == nil {
			t.Errorf("%q refuses the batch", text)
		}
	})
}
