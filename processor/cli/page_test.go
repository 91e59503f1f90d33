package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var pageURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// page returns an answer of the page's API that is 200, decoded into to.
func page(t *testing.T, url string, to any) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %d, %v: %s", url, answer.StatusCode, err, body)
	}
	if err := json.Unmarshal(body, to); err != nil {
		t.Fatalf("%s answers %s: %v", url, body, err)
	}
}

// TestScanWeb: from the overview to the event, byte for byte, and nothing is left behind.
func TestScanWeb(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	trail := filepath.Join(t.TempDir(), "trail.json")
	one := strings.Replace(event("t1", "a<script>", at), `"eventName":"Decrypt"`, `"eventName":"DisableKey"`, 1)
	if err := os.WriteFile(trail, []byte(event("t0", "b", at)+"\n"+one+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, nil, "scan", "--web", "--listen", "127.0.0.1:0", trail)
	p.saying(t, "until Ctrl-C")
	url := pageURL.FindString(p.stdout.String())
	for _, a := range listeners(t, p.cmd.Process.Pid) {
		if !a.Addr().IsLoopback() {
			t.Errorf("it listens on %v", a)
		}
	}
	var overview struct {
		Newest []struct{ ID, Sentence string }
		Heat   struct{ Rows []struct{ Rules int } }
	}
	page(t, url+"api/v1/overview", &overview)
	if len(overview.Newest) != 1 || len(overview.Heat.Rows) != 1 || overview.Heat.Rows[0].Rules != 1 {
		t.Fatalf("the overview is %+v", overview)
	}
	var anomaly struct {
		Calls []struct {
			Events []struct {
				Place struct{ Object, Offset json.Number }
			}
		}
	}
	page(t, url+"api/v1/anomalies/"+overview.Newest[0].ID, &anomaly)
	if len(anomaly.Calls) != 1 || len(anomaly.Calls[0].Events) != 1 {
		t.Fatalf("the anomaly is %+v", anomaly)
	}
	var original struct{ Body string }
	place := anomaly.Calls[0].Events[0].Place
	page(t, url+"api/v1/event?object="+place.Object.String()+"&offset="+place.Offset.String(), &original)
	if original.Body != one {
		t.Errorf("the event is %s, want %s", original.Body, one)
	}
	p.signal(t, syscall.SIGINT)
	if code := p.code(t); code != 0 {
		t.Errorf("Ctrl-C ends it with %d: %s", code, p.stderr.String())
	}
	p.leavesNothing(t)
}

// TestPageAddresses: addresses that others may reach are refused before anything is read.
func TestPageAddresses(t *testing.T) {
	for _, command := range []string{"scan --web --listen 0.0.0.0:0 .", "demo --listen :8080"} {
		o := keytrail(t, nil, strings.Fields(command)...).wants(t, 2)
		if !strings.Contains(o.stderr, "no access control") {
			t.Errorf("%s says %s", command, o.stderr)
		}
	}
	o := keytrail(t, nil, "scan", "--listen", "127.0.0.1:0", ".").wants(t, 2)
	if !strings.Contains(o.stderr, "--web") {
		t.Errorf("--listen without --web says %s", o.stderr)
	}
}

// demoPage checks that the demo's page shows anomalies, and events that it reads from Kafka.
func demoPage(t *testing.T, url string) {
	t.Helper()
	var overview struct{ Newest []struct{ ID string } }
	until(t, "the page has an anomaly", func() bool {
		page(t, url+"api/v1/overview", &overview)
		return len(overview.Newest) > 0
	})
	var found struct {
		Found struct {
			Events []struct {
				Operation string
				Place     struct{ Object, Offset json.Number }
			}
		}
	}
	page(t, url+"api/v1/events?limit=1", &found)
	if len(found.Found.Events) != 1 {
		t.Fatalf("the page has %+v instead of an event", found)
	}
	e := found.Found.Events[0]
	var original struct{ Body string }
	page(t, url+"api/v1/event?object="+e.Place.Object.String()+"&offset="+e.Place.Offset.String(), &original)
	if !strings.Contains(original.Body, `"eventName":"`+e.Operation+`"`) {
		t.Errorf("the event is %s, want a %s", original.Body, e.Operation)
	}
}
