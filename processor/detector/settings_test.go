package detector_test

import (
	"math"
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/detector"
)

// Every setting has bounds, and they hold for NaN, too.
func TestSettingsAreValidated(t *testing.T) {
	nan := math.NaN()
	f := func(edit func(*detector.Settings), want string) {
		t.Helper()
		s := detector.DefaultSettings()
		edit(&s)
		err := s.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(func(*detector.Settings) {}, "")
	f(func(s *detector.Settings) { s.Threshold, s.FanOutFactor = 0.01, 1 }, "")
	f(func(s *detector.Settings) { s.SweepSecrets, s.FanOut, s.RefusedKeys = count.MaxDistinct, 2, 2 }, "")
	f(func(s *detector.Settings) { s.Threshold = 0 }, "threshold")
	f(func(s *detector.Settings) { s.Threshold = 0.02 }, "threshold")
	f(func(s *detector.Settings) { s.Threshold = nan }, "threshold")
	f(func(s *detector.Settings) { s.MinCount = 0 }, "min_count")
	f(func(s *detector.Settings) { s.WarmUp = -1 }, "warm_up")
	f(func(s *detector.Settings) { s.Retention = s.WarmUp - 1 }, "retention")
	f(func(s *detector.Settings) { s.Retention = 1<<63 - 1 }, "retention")
	f(func(s *detector.Settings) { s.SweepSecrets = 1 }, "sweep_secrets")
	f(func(s *detector.Settings) { s.SweepSecrets = count.MaxDistinct + 1 }, "512")
	f(func(s *detector.Settings) { s.FanOut = 1 }, "fan_out")
	f(func(s *detector.Settings) { s.RefusedKeys = 1 }, "refused_keys")
	f(func(s *detector.Settings) { s.Refusals = 0 }, "refusals")
	f(func(s *detector.Settings) { s.FanOutFactor = 0.5 }, "fan_out_factor")
	f(func(s *detector.Settings) { s.FanOutFactor = nan }, "fan_out_factor")
	f(func(s *detector.Settings) { s.PeakFactor = nan }, "peak_factor")
	f(func(s *detector.Settings) { s.FirstUse = 21 }, "first_use")
	f(func(s *detector.Settings) { s.NewPeers = 1 }, "new_peers")
	f(func(s *detector.Settings) { s.ObjectSweep = 1 }, "object_sweep")
	f(func(s *detector.Settings) { s.SilenceCalls = nan }, "silence_calls")
	f(func(s *detector.Settings) { s.SilenceFactor = 0 }, "silence_factor")
	f(func(s *detector.Settings) { s.MaxEntities = 999 }, "max_entities")
	f(func(s *detector.Settings) { s.MaxAccountEntities = s.MaxEntities + 1 }, "max_account_entities")
	f(func(s *detector.Settings) { s.SeedUntil = "yesterday" }, "seed_until")
	f(func(s *detector.Settings) { s.Allow = make(anomaly.Allow, 1001) }, "1001 entries")
	f(func(s *detector.Settings) { s.Allow = anomaly.Allow{{Key: "a", Why: "x"}} }, "")
	f(func(s *detector.Settings) { s.Allow = anomaly.Allow{{Key: "a"}} }, "allow[0]: has no why")
	f(func(s *detector.Settings) { s.Allow = anomaly.Allow{{Why: "x"}} }, "allow[0]: names no key")
	f(func(s *detector.Settings) { s.Allow = anomaly.Allow{{Key: "a", Why: "x", Kind: "odd"}} }, "allow[0].kind")
	f(func(s *detector.Settings) { s.Allow = anomaly.Allow{{Key: "a", Why: "x", Until: "tomorrow"}} }, "allow[0].until")
}
