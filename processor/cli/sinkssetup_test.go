package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSinksSetup: without --apply the command sends no request that changes anything, and
// prints the requests that it sends with --apply.
func TestSinksSetup(t *testing.T) {
	var sent []string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			_, _ = io.WriteString(w, `{"version":{"number":"9.2.1"}}`)
		case r.Method == http.MethodPut:
			sent = append(sent, "PUT "+r.URL.Path)
			_, _ = io.WriteString(w, `{"acknowledged":true}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "keytrail.yaml")
	text := "sinks:\n- {name: siem, type: elasticsearch, endpoint: \"" + receiver.URL + "\"}\n- {name: lines, type: file, path: out.jsonl}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dry := keytrail(t, nil, "sinks", "setup", "-c", file, "siem")
	if dry.code != 0 || len(sent) > 0 || !strings.Contains(dry.stderr, "11 changes are not made; make them with --apply") {
		t.Fatalf("%+v; sent %q", dry, sent)
	}
	printed := requests(t, dry.stdout)
	wet := keytrail(t, nil, "sinks", "setup", "-c", file, "--apply", "siem")
	if wet.code != 0 || wet.stdout != dry.stdout || !strings.Contains(wet.stderr, "11 changes are made") {
		t.Errorf("%+v", wet)
	}
	if strings.Join(sent, "\n") != strings.Join(printed, "\n") || len(sent) != 11 {
		t.Errorf("sent %q, printed %q", sent, printed)
	}
	for _, c := range []struct{ args, want string }{
		{"siem", "sinks setup needs -c FILE"},
		{"-c " + file, "setup needs the name of a sink"},
		{"-c " + file + " nobody", `has no sink "nobody"; its sinks: siem, lines`},
		{"-c " + file + " lines", `sink "lines" has the type file, which needs no setup`},
		{"-c " + file + " siem lines", "one NAME"},
	} {
		got := keytrail(t, nil, append([]string{"sinks", "setup"}, strings.Fields(c.args)...)...)
		if got.code != 2 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %+v, want %s", c.args, got, c.want)
		}
	}
}

// requests returns the first lines of the requests that the command printed. Each has a body
// of JSON.
func requests(t *testing.T, text string) (list []string) {
	t.Helper()
	for _, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		first, body, _ := strings.Cut(part, "\n")
		if !json.Valid([]byte(body)) {
			t.Errorf("%s has the body %s", first, body)
		}
		list = append(list, first)
	}
	return list
}
