package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"
)

// picky is an OTLP receiver that refuses the calls of one operation.
type picky struct {
	*httptest.Server
	mu    sync.Mutex
	bad   string // guarded by mu, as taken is
	taken []string
}

func newPicky(t *testing.T, bad string) *picky {
	p := &picky{bad: bad}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collectorpb.ExportLogsServiceRequest
	z, err := gzip.NewReader(r.Body)
	if err == nil {
		var b []byte
		if b, err = io.ReadAll(z); err == nil {
			err = proto.Unmarshal(b, &request)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var calls []string
	for _, one := range request.ResourceLogs {
		calls = append(calls, newRecord(one.ScopeLogs[0].LogRecords[0]).str("rpc.method"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(calls, func(s string) bool { return p.bad != "" && strings.HasSuffix(s, p.bad) }) {
		http.Error(w, "operation "+p.bad+" is not in the schema", http.StatusBadRequest)
		return
	}
	p.taken = append(p.taken, calls...)
}

func (p *picky) accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = ""
}

func (p *picky) has(operation string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.taken {
		if strings.HasSuffix(call, operation) {
			n++
		}
	}
	return n
}

// What a sink refused is counted, shown with the receiver's words, and goes to that sink
// again once: not to another sink, and not into the counts. Input that was not decoded goes
// back into kms.raw.
func TestRunDeadLetters(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	siem, other := newPicky(t, "Encrypt"), newPicky(t, "")
	config := b.config(t, otlpSink(siem.URL), strings.Replace(otlpSink(other.URL), "siem", "other", 1))
	letters := func(command string, more ...string) outcome {
		return keytrail(t, nil, append([]string{"deadletter", command, "-c", config}, more...)...)
	}
	now := time.Now().Add(-time.Minute)
	p := run(t, config, "")
	p.ready(t)
	encrypt := strings.ReplaceAll(event("call-2", "key", now), "Decrypt", "Encrypt")
	b.produce(t, [][]byte{[]byte(event("call-1", "key", now)), []byte(encrypt), []byte(`{"Records":[{"eventVersion":`)})
	until(t, "both sinks have the call that both take", func() bool { return siem.has("Decrypt") == 1 && other.has("Decrypt") == 1 })
	until(t, "the letters are there", func() bool { return strings.Count(letters("list", "--each").stdout, "\n") == 2 })

	says(t, letters("list"), "rejected_invalid", "siem", "status 400: operation Encrypt is not in the schema", "normalize", "truncated")
	says(t, letters("list", "--sink", "other"))
	line := letters("list", "--each", "--sink", "siem").stdout
	place, _, _ := strings.Cut(line, " ")
	says(t, letters("show", place), `"reason":"rejected_invalid"`, `"sink":"siem"`, "operation Encrypt is not in the schema", `"raw`)
	letters("show", "0/999").wants(t, 1, "has no dead letter at 0/999")

	says(t, letters("replay"), "1 would go to sink siem", "1 would go to topic kms.raw")
	letters("replay", "--sink", "siem", "--apply").wants(t, 3, place+" is refused again (invalid)", "status 400")
	siem.accept()
	says(t, letters("replay", "--sink", "siem", "--apply"), "1 of 1 went to sink siem")
	says(t, letters("replay", "--stage", "normalize", "--apply"), "1 of 1 went to topic kms.raw")
	letters("replay", "--sink", "siem", "--apply").wants(t, 0, "has no such open dead letters")
	if n, m := siem.has("Encrypt"), other.has("Encrypt"); n != 1 || m != 1 {
		t.Errorf("the refused call is %d times at its sink and %d times at the other, want once each", n, m)
	}
	until(t, "stage normalize has refused the input again", func() bool {
		return strings.Count(letters("list", "--each", "--stage", "normalize").stdout, "truncated") == 1 &&
			strings.Count(letters("list", "--each", "--all").stdout, "put back") == 2
	})
	p.stop(t, syscall.SIGTERM)
}

func TestDeadLetterRefuses(t *testing.T) {
	keytrail(t, nil, "deadletter").wants(t, 2, "deadletter needs list or show or replay")
	keytrail(t, nil, "deadletter", "list").wants(t, 2, "deadletter list needs -c FILE")
	embedded := write(t, inTemp(t, "k.yaml"), "kafka: {embedded: true}\n")
	keytrail(t, nil, "deadletter", "replay", "-c", embedded).wants(t, 2, "kafka.embedded is true")
	keytrail(t, nil, "deadletter", "show", "-c", embedded, "12").wants(t, 2, `"12" is not the place`)
	keytrail(t, nil, "deadletter", "replay", "--place", "x", "-c", embedded).wants(t, 2, `"x" is not the place`)
}
