package s3

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"keytrail/processor/source"
)

func asRejected(err error, r **source.Rejected) bool { return errors.As(err, r) }

// TestBodyGoesOn reads an object through a proxy that breaks four of five of its answers,
// at various places.
func TestBodyGoesOn(t *testing.T) {
	b := newBucket(t, func(n int64, r *http.Request) bool { return r.Method == http.MethodGet && n%5 != 0 })
	content := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB: halves reach its end in few steps
	b.put("big", content)
	body, err := b.client.Open(t.Context(), Ref{Bucket: b.name, Key: "big"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || string(got) != content {
		t.Errorf("read %d of %d bytes, the same: %v; %v", len(got), len(content), strings.HasPrefix(content, string(got)), err)
	}
}

func TestBodyNoticesReplacement(t *testing.T) {
	// Of the first three failures the second cuts the answer: see awstest.Faulty.
	b := newBucket(t, func(n int64, r *http.Request) bool { return r.Method == http.MethodGet && n <= 2 })
	content := strings.Repeat("x", 1<<20)
	b.put("big", content)
	body, err := b.client.Open(t.Context(), Ref{Bucket: b.name, Key: "big"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	b.put("big", strings.Repeat("y", 1<<20))
	if _, err := io.ReadAll(body); !errors.Is(err, errChanged) {
		t.Errorf("the object was replaced, and reading it says %v", err)
	}
}
