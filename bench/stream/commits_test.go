package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keytrail/processor/telemetry"
)

// TestCommits checks that durations in Keytrail's metrics appear in the table.
func TestCommits(t *testing.T) {
	tel, err := telemetry.New(t.Context(), telemetry.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.StripPrefix(telemetry.Path, tel.Handler()))
	defer server.Close()
	in := &installation{metrics: strings.TrimPrefix(server.URL, "http://")}
	none, err := in.scrape(t.Context())
	if err != nil || len(none) != 0 {
		t.Fatalf("before any commit: %v, %v", none, err)
	}
	f := func(stage string, took ...time.Duration) {
		flow := tel.Flow(stage, "")
		for _, d := range took {
			flow.Took(d)
		}
	}
	f("detect", 3*time.Hour)
	before, err := in.scrape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f("count", 4*time.Millisecond, 15*time.Millisecond, 16*time.Millisecond, 400*time.Millisecond)
	f("detect", 3*time.Hour)
	all, err := in.scrape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	commitTable(&out, append(commitRows("all", all), commitRows("later", map[string]commits{"detect": all["detect"].since(before["detect"])})...))
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"4 20 500 all: count", "2 over 60000 over 60000 all: detect", "1 over 60000 over 60000 later: detect"} {
		if got := strings.Join(strings.Fields(lines[3+i]), " "); got != want {
			t.Errorf("row %q, want %q", got, want)
		}
	}
	if c := (commits{}); c.total() != 0 || c.atMost(50) != "-" || all["count"].since(commits{}).total() != 4 {
		t.Error("no commits are some")
	}
}
