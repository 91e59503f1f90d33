package detect_test

import (
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/detect"
)

func TestValidate(t *testing.T) {
	f := func(edit func(*detect.Config), want string) {
		t.Helper()
		cfg := detect.DefaultConfig()
		edit(&cfg)
		err := cfg.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(func(*detect.Config) {}, "")
	f(func(c *detect.Config) { c.Size, c.Lateness = minute, 80*minute }, "")
	f(func(c *detect.Config) { c.Size = day }, "")
	f(func(c *detect.Config) { c.Lateness, c.WarmUp = 0, 0 }, "")
	f(func(c *detect.Config) { c.Threshold, c.FanOutFactor = 0.01, 1 }, "")
	f(func(c *detect.Config) { c.SweepSecrets, c.FanOut, c.RefusedKeys = count.MaxDistinct, 2, 2 }, "")
	f(func(c *detect.Config) { c.Size = 0 }, "window size")
	f(func(c *detect.Config) { c.Size = -size }, "window size")
	f(func(c *detect.Config) { c.Size = minute + 1 }, "window size")
	f(func(c *detect.Config) { c.Size = day + minute }, "window size")
	f(func(c *detect.Config) { c.Lateness = -1 }, "allowed lateness")
	f(func(c *detect.Config) { c.Lateness = 81 * c.Size }, "allowed lateness")
	f(func(c *detect.Config) { c.Threshold = 0 }, "threshold")
	f(func(c *detect.Config) { c.Threshold = 0.02 }, "threshold")
	f(func(c *detect.Config) { c.Threshold = nan }, "threshold")
	f(func(c *detect.Config) { c.MinCount = 0 }, "min_count")
	f(func(c *detect.Config) { c.WarmUp = -1 }, "warm_up")
	f(func(c *detect.Config) { c.Retention = c.WarmUp - 1 }, "retention")
	f(func(c *detect.Config) { c.Retention = 1<<63 - 1 }, "retention")
	f(func(c *detect.Config) { c.SweepSecrets = 1 }, "sweep_secrets")
	f(func(c *detect.Config) { c.SweepSecrets = count.MaxDistinct + 1 }, "512")
	f(func(c *detect.Config) { c.FanOut = 1 }, "fan_out")
	f(func(c *detect.Config) { c.RefusedKeys = 1 }, "refused_keys")
	f(func(c *detect.Config) { c.Refusals = 0 }, "refusals")
	f(func(c *detect.Config) { c.FanOutFactor = 0.5 }, "fan_out_factor")
	f(func(c *detect.Config) { c.FanOutFactor = nan }, "fan_out_factor")
}
