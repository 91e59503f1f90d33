package window_test

import (
	"testing"

	"keytrail/processor/window"
)

func TestValidate(t *testing.T) {
	f := func(edit func(*window.Config), want string) {
		t.Helper()
		cfg := window.DefaultConfig()
		edit(&cfg)
		err := cfg.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(func(*window.Config) {}, "")
	f(func(c *window.Config) { c.Size, c.Lateness = minute, 80*minute }, "")
	f(func(c *window.Config) { c.Size = day }, "")
	f(func(c *window.Config) { c.Lateness, c.WarmUp = 0, 0 }, "")
	f(func(c *window.Config) { c.Size = 0 }, "window size")
	f(func(c *window.Config) { c.Size = -size }, "window size")
	f(func(c *window.Config) { c.Size = minute + 1 }, "window size")
	f(func(c *window.Config) { c.Size = day + minute }, "window size")
	f(func(c *window.Config) { c.Lateness = -1 }, "allowed lateness")
	f(func(c *window.Config) { c.Lateness = 81 * c.Size }, "allowed lateness")
	f(func(c *window.Config) { c.MinCount = 0 }, "min_count") // of the detectors
}
