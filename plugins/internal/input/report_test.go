package input

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keytrail/plugins/internal/logging"
)

// An error that has another text each second, as when a full disk refuses one temporary
// file after the other, is a line a minute; a new one is logged as soon as that allows.
func TestReportIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		in := &Input{log: logging.New("", nil, func(_ logging.Level, s string) { lines = append(lines, s) })}
		var last reported
		for i := range 600 {
			in.report(&last, fmt.Errorf("no space for .tmp%d", i), "again")
			time.Sleep(time.Second)
		}
		in.report(&last, nil, "")
		in.report(&last, nil, "")
		for range 600 {
			in.report(&last, errors.New("another"), "again")
			time.Sleep(time.Second)
		}
		in.log.Emit()
		if len(lines) != 10+1+1 || !strings.HasPrefix(lines[10], "all of") || lines[11] != "another; again" {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
	})
}

// Two in_kms with one checkpoint would undo each other's notes.
func TestCheckpointIsLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		if _, err := New(b.cfg, b.in.log); err == nil || !strings.Contains(err.Error(), "another reader uses this checkpoint") {
			t.Errorf("a second in_kms starts: %v", err)
		}
		b.stop()
		b.start() // as after a reload
		b.stop()
	})
}
