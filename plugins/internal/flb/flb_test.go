package flb

import (
	"errors"
	"strings"
	"testing"

	"keytrail/plugins/internal/logging"
)

func capture() (*logging.Log, *[]string) {
	var lines []string
	return logging.New("", nil, func(_ logging.Level, s string) { lines = append(lines, s) }), &lines
}

func TestGuardPassesTheCodeOn(t *testing.T) {
	log, lines := capture()
	log.Printf(logging.Info, "queued earlier")
	if got := Guard(log, "f", -1, func() int { log.Printf(logging.Info, "inside"); return 7 }); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	if strings.Join(*lines, "|") != "queued earlier|inside" {
		t.Errorf("the log is %q", *lines)
	}
}

func TestGuardCatchesPanics(t *testing.T) {
	var nothing map[string]int
	var pointer *strings.Builder
	for name, body := range map[string]func() int{
		"a value":         func() int { panic("boom") },
		"an error":        func() int { panic(errors.New("boom")) },
		"a nil map":       func() int { nothing["x"] = 1; return 0 },
		"a nil pointer":   func() int { pointer.WriteByte(1); return 0 },
		"out of range":    func() int { return []int{}[len(nothing)] },
		"a nested defer":  func() int { defer func() { panic("boom again") }(); panic("boom") },
		"an empty reason": func() int { panic("") },
	} {
		log, lines := capture()
		if got := Guard(log, "FLBPluginX", 2, body); got != 2 {
			t.Errorf("%s: got %d, want 2", name, got)
		}
		if len(*lines) != 1 || !strings.Contains((*lines)[0], "FLBPluginX panicked") || !strings.Contains((*lines)[0], ".go:") {
			t.Errorf("%s: the log is %q, want one line with the place", name, *lines)
		}
	}
}

func TestPlaceOfUnknownStacks(t *testing.T) {
	for _, stack := range []string{"", "goroutine 1", "\npanic(", "\npanic({0x1})\n\tf.go:1\n", "\npanic(x)\n\ta\nruntime.b\n\tb\nruntime.c\n"} {
		if got := place([]byte(stack)); got != "an unknown place" {
			t.Errorf("%q is at %q", stack, got)
		}
	}
}

func TestLogErrorLogsEachLine(t *testing.T) {
	log, lines := capture()
	LogError(log, errors.Join(errors.New("one"), errors.New("two")))
	log.Emit()
	if strings.Join(*lines, "|") != "one|two" {
		t.Errorf("the log is %q", *lines)
	}
}
