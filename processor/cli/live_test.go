package cli_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestGenerateLive: a live trail delivers its history, stops at a signal, and continues
// where it was.
func TestGenerateLive(t *testing.T) {
	heavy(t)
	dir := t.TempDir()
	args := []string{"generate", "--live", "--out", dir, "--history", "1h", "--attack-every", "2m", "--keys", "10"}
	var before []string
	for range 2 {
		p := start(t, nil, nil, args...)
		until(t, "the history is delivered", func() bool { return strings.Contains(p.stderr.String(), "the history is delivered") })
		p.signal(t, syscall.SIGTERM)
		o := outcome{code: p.code(t), stderr: p.stderr.String()}
		o.wants(t, 0, "the live trail stops")
		list := filesBelow(t, dir)
		for _, name := range before {
			if !slices.Contains(list, name) {
				t.Errorf("%s is gone", name)
			}
		}
		if before = list; len(list) < 5 {
			t.Errorf("the files are %v", list)
		}
	}
	keytrail(t, nil, append(args, "--seed", "7")...).wants(t, 1, "another configuration", dir)
	keytrail(t, nil, append(args, "--duration", "24h")...).wants(t, 2, "--duration cannot be combined with --live")
	keytrail(t, nil, "generate", "--out", dir, "--history", "24h").wants(t, 2, "--history needs --live")
}
