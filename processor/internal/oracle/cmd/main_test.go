package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	event := `{"eventSource":"kms.amazonaws.com","eventName":"Sign","eventTime":"2025-01-01T00:03:30Z","userIdentity":{"arn":"u"}}`
	if err := os.WriteFile(path, []byte(event), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(code int, wantOut, wantErr string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(args, &out, &errs); got != code {
			t.Errorf("%q: exit code %d, want %d", args, got, code)
		}
		if !strings.HasPrefix(out.String(), wantOut) || !strings.Contains(errs.String(), wantErr) {
			t.Errorf("%q: printed %q and %q, want %q and %q", args, out.String(), errs.String(), wantOut, wantErr)
		}
	}
	f(0, "key\t-\t\t2025-01-01T00:03:00Z\t1\t0\t0\tsign=1\n", "", "-size", "1m", path)
	f(0, "key\t-\t\t2025-01-01T00:00:00Z\t1\t0\t0\tsign=1\n", "", path)
	f(1, "", "absent", path+".absent")
	f(1, "", "whole seconds", "-size", "10ms", path)
	f(2, "", "at least one file")
	f(2, "", "flag", "-no-such-flag", path)
}
