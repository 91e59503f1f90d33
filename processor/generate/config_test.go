package generate_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

func TestConfigErrorsNameFieldAndRange(t *testing.T) {
	f := func(c generate.Config, parts ...string) {
		t.Helper()
		_, err := generate.New(c)
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("error %v does not say %q", err, part)
			}
		}
	}
	f(generate.Config{Duration: time.Minute}, "Duration is 1m0s", "1h to 9600h")
	f(generate.Config{Duration: 401 * 24 * time.Hour}, "Duration", "1h to 9600h")
	f(generate.Config{Duration: -time.Hour}, "Duration")
	f(generate.Config{Keys: 9}, "Keys is 9", "10 to 100000")
	f(generate.Config{Keys: 100_001}, "Keys", "10 to 100000")
	f(generate.Config{Principals: 1}, "Principals is 1", "10 to 1000000")
	f(generate.Config{Events: -1}, "Events is -1")
	f(generate.Config{Duration: time.Hour, Events: 1_000_001}, "Events is 1000001", "0 to 1000000")
	f(generate.Config{FileEvery: time.Second}, "FileEvery is 1s", "1m to 1h")
	f(generate.Config{FileEvery: 90 * time.Second}, "FileEvery is 1m30s", "whole minutes")
	f(generate.Config{DuplicateShare: 0.6}, "DuplicateShare is 0.6", "0 to 0.5")
	f(generate.Config{DuplicateShare: math.NaN()}, "DuplicateShare is NaN")
	f(generate.Config{Start: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}, "Start", "2000 to 2200")
	f(generate.Config{Accounts: []string{"12345"}}, `Accounts is "12345"`, "12 digits")
	f(generate.Config{Accounts: []string{"123456789012", "123456789012"}}, `Accounts is "123456789012"`, "different")
	f(generate.Config{Accounts: []string{generate.ForeignAccount}}, "Accounts")
	f(generate.Config{Accounts: []string{"111111111111", "222222222222", "333333333333"}, Keys: 10}, "Accounts is a list of 3", "1 to 2 with 10 keys")
	f(generate.Config{Regions: []string{"nowhere"}}, `Regions is "nowhere"`, "us-east-1")
	f(generate.Config{Regions: []string{`us-"east-1`}}, "Regions")
	f(generate.Config{Regions: []string{"us-east-1", "cn-north-1"}}, `Regions is "cn-north-1"`, "one partition")
	f(generate.Config{Regions: []string{"us-east-1", "us-east-1"}}, "Regions")
	f(generate.Config{Scenarios: []string{"burst", "surprise"}}, `Scenarios is "surprise"`, "burst, object_sweep")
	f(generate.Config{Scenarios: []string{"burst", "burst"}}, `Scenarios is "burst"`, "at most once")
	f(generate.Config{Scenarios: []string{"trail_blinded"}, Duration: 2 * time.Hour}, "Scenarios has trail_blinded", "1h45m", "lengthen Duration")
	f(generate.Config{Scenarios: []string{"first_use"}, Duration: 12 * time.Hour}, "Scenarios has first_use", "between 00:00 and 05:00 UTC")
}
