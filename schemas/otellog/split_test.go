package otellog_test

import (
	"bytes"
	"testing"

	"keytrail/schemas/otellog"
)

// TestSplit: requests end to end come apart again, each with its own bytes, and
// damage ends the walk without a part of a request.
func TestSplit(t *testing.T) {
	var batch []byte
	var want [][]byte
	for _, r := range records() {
		one := otellog.AppendRequest(nil, r)
		batch, want = append(batch, one...), append(want, one)
	}
	split := func(b []byte) (parts [][]byte) {
		for p := range otellog.Split(b) {
			parts = append(parts, p)
		}
		return parts
	}
	if got := split(batch); len(got) != len(want) || !bytes.Equal(bytes.Join(got, nil), batch) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	for i, got := range split(batch) {
		if !bytes.Equal(got, want[i]) || cap(got) != len(got) {
			t.Errorf("request %d is not itself, or an append to it writes into the next", i)
		}
	}
	if got := split(batch[:len(batch)-1]); len(got) != len(want)-1 {
		t.Errorf("cut: %d requests, want %d", len(got), len(want)-1)
	}
	for _, bad := range []string{"", "x", "\x0a", "\x0a\xff", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x12\x00"} {
		if got := split([]byte(bad)); len(got) != 0 {
			t.Errorf("%q: %d requests", bad, len(got))
		}
	}
	for range otellog.Split(batch) {
		break
	}
}
