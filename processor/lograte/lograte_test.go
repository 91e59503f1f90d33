package lograte

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	var g Gate
	now := time.Unix(1000, 0)
	f := func(after time.Duration, n, wantHeld int, wantDue bool) {
		t.Helper()
		now = now.Add(after)
		if held, due := g.Open(now, n); held != wantHeld || due != wantDue {
			t.Errorf("after %v: got %d, %v; want %d, %v", after, held, due, wantHeld, wantDue)
		}
	}
	f(0, 1, 0, true)
	f(time.Second, 2, 0, false)
	f(Every-2*time.Second, 3, 0, false)
	f(time.Second, 1, 5, true)
	f(time.Second, 1, 0, false)
	g.Reset()
	f(0, 1, 0, true)
}

func TestGatesAreBounded(t *testing.T) {
	var g Gates
	now, due := time.Unix(1000, 0), 0
	for i := range 10 * maxKinds {
		if _, ok := g.Open(fmt.Sprint("kind ", i), now, 1); ok {
			due++
		}
	}
	if due != maxKinds+1 || len(g.gates) != maxKinds+1 {
		t.Errorf("%d lines and %d gates, want %d of each", due, len(g.gates), maxKinds+1)
	}
}

// However dead letters arrive, each is in exactly one line, and a reason has at most one
// line a minute.
func TestLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewLetters(ToLog(slog.New(slog.NewTextHandler(&out, nil)).With("stage", "count")))
		sent := map[string]int{}
		for i := range 1000 {
			reason := []string{"late", "bad_json"}[i%2]
			n := i % 4
			l.Add(reason, fmt.Sprint("detail ", i), n)
			sent[reason] += n
			time.Sleep(time.Second)
		}
		l.Flush()
		l.Flush()
		lines, got := map[string]int{}, map[string]int{}
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			var reason string
			var n int
			_, rest, _ := strings.Cut(line, "stage=count reason=")
			if _, err := fmt.Sscanf(rest, "%s records=%d", &reason, &n); err != nil || n == 0 || !strings.Contains(rest, "detail ") {
				t.Fatalf("line %q: %v", line, err)
			}
			lines[reason]++
			got[reason] += n
		}
		for reason, n := range sent {
			if got[reason] != n {
				t.Errorf("%s: the lines add up to %d, want %d", reason, got[reason], n)
			}
			if lines[reason] < 15 || lines[reason] > 18 {
				t.Errorf("%s: %d lines in 1,000 s, want one a minute", reason, lines[reason])
			}
		}
	})
}
