package detector_test

import (
	"slices"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/detector"
	"keytrail/schemas/wire"
)

// Codes are stored in state and names are in ids and allow-lists, so no two detectors
// share one, and none ever gets another code. Windows count each kind separately.
func TestDetectorsAreUnique(t *testing.T) {
	codes := map[string]uint8{
		"rate": 1, "first_use": 2, "new_origin": 3, "secret_sweep": 4, "fan_out": 5, "object_sweep": 6, "object_drip": 7, "mass_destruction": 8,
		"refusals": 9, "key_probing": 10, "unusable_key": 11, "silence": 12, "new_peers": 13, "entity_bound": 15,
		"key_enumeration": 16, "foreign_write": 17, "secret_drip": 18, // 14 was call_drip
	}
	names, used := map[string]bool{}, map[uint8]string{}
	for _, d := range detector.All {
		if names[d.Name] || d.Code == 0 || used[d.Code] != "" {
			t.Errorf("%s has the name or the code, %d, of %q", d.Name, d.Code, used[d.Code])
		}
		names[d.Name], used[d.Code] = true, d.Name
		if want, stored := codes[d.Name]; stored && d.Code != want {
			t.Errorf("%s has the code %d, and state has it as %d", d.Name, d.Code, want)
		}
		if !slices.Contains(anomaly.Kinds, d.Kind) || len(d.Techniques) == 0 || d.Lasts < 0 {
			t.Errorf("%s: kind %q, techniques %q, lasts %d ns", d.Name, d.Kind, d.Techniques, d.Lasts)
		}
	}
	for name := range codes {
		if !names[name] {
			t.Errorf("%s is missing; if it is gone, its code stays reserved", name)
		}
	}
	counters := map[wire.CounterID]anomaly.Kind{}
	for _, k := range anomaly.Kinds {
		if counters[k.Counter()] != "" {
			t.Errorf("%s and %s have one counter", k, counters[k.Counter()])
		}
		counters[k.Counter()] = k
	}
}
