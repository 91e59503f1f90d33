package logging

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestLogQueuesUntilEmit(t *testing.T) {
	var got []string
	l := New("[in_kms] ", func(v Level) bool { return v <= Warn }, func(v Level, s string) { got = append(got, fmt.Sprint(int(v), s)) })
	l.Printf(Warn, "file %q\nforged\u009b\u202e", "a")
	l.Printf(Info, "not wanted")
	l.Printf(Error, "second")
	if got != nil {
		t.Fatalf("printed before Emit: %q", got)
	}
	l.Emit()
	l.Emit()
	want := []string{`2[in_kms] file "a"\nforged\u009b\u202e`, `1[in_kms] second`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogIsBounded(t *testing.T) {
	var got []string
	l := New("", nil, func(_ Level, s string) { got = append(got, s) })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range MaxLines {
				l.Printf(Info, "%s", strings.Repeat("x", 2*MaxLineBytes))
			}
		})
	}
	wg.Wait()
	l.Emit()
	if len(got) != MaxLines+1 || len(got[0]) != MaxLineBytes || !strings.HasSuffix(got[0], "...") {
		t.Errorf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
	if want := fmt.Sprintf("%d more lines were not kept", 3*MaxLines); got[MaxLines] != want {
		t.Errorf("the last line is %q, want %q", got[MaxLines], want)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	var got []string
	l := New("", nil, func(_ Level, s string) { got = append(got, s) })
	l.Secrets().Add("s3cr/et", "${PASSWORD}")
	l.Printf(Error, "refused %q: %s", "s3cr/et", "https://me:s3cr%2Fet@host/")
	l.Emit()
	if want := []string{`refused "${PASSWORD}": https://me:${PASSWORD}@host/`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
