package plugintest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Hot reloads of several inputs: what was handed over and had not settled comes again
// in the next life, whole and in every instance, and nothing comes between the lives.
func TestInputReloads(t *testing.T) {
	b := plugins(t)
	first, second := numbered(t, events(t)[0], 0, 500), numbered(t, events(t)[0], 500, 500)
	outs := []string{filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")}
	args := []string{b.in, "--reloads", "2", "--calls", patientCalls, "--records", "500", "--out", outs[0]}
	args = append(args, fast(trail(t, map[string]string{"a": strings.Join(first, "\n")}), "checkpoint="+filepath.Join(t.TempDir(), "cp"), "settle=1h")...)
	args = append(args, "--instance", "--out", outs[1])
	args = append(args, fast(trail(t, map[string]string{"b": strings.Join(second, "\n")}), "checkpoint="+filepath.Join(t.TempDir(), "cp"), "settle=1h")...)
	r := mustRun(t, b, args...)
	if n := strings.Count(r.out, "registered in_kms type 1"); n != 3 {
		t.Errorf("registered %d times, want 3:\n%s", n, r.out)
	}
	thrice := func(list []string) (all []string) {
		for range 3 {
			all = append(all, list...)
		}
		return all
	}
	wantEvents(t, readRecords(t, outs[0]), thrice(first))
	wantEvents(t, readRecords(t, outs[1]), thrice(second))
	if n := metric(t, r, "fluentbit_in_kms_handed_over_total"); n != 3000 {
		t.Errorf("the counters say %d handed over, want 3000", n)
	}
}

// A host that refuses pieces is offered them again, through the function that in_kms finds
// in the host.
func TestInputOffersRefusedPiecesAgain(t *testing.T) {
	b := plugins(t)
	dir := t.TempDir()
	refuser, out := filepath.Join(dir, "refuse.so"), filepath.Join(dir, "records")
	if text, err := exec.Command("cc", "-shared", "-fPIC", "-o", refuser, "testdata/refuse.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := events(t)
	files := trail(t, shapes(t, all))
	t.Setenv("LD_PRELOAD", refuser)
	t.Setenv("KEYTRAIL_APPENDED", out)
	r := mustRun(t, b, append([]string{b.in, "--calls", "500"}, fast(files)...)...)
	wantEvents(t, readRecords(t, out), all)
	if !strings.Contains(r.stderr, "Fluent Bit refuses") {
		t.Errorf("the log says nothing of it:\n%s", r.stderr)
	}
}
