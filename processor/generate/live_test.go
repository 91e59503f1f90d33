package generate_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// liveNow is when the live trails of the tests are started first.
var liveNow = time.Date(2026, 11, 30, 23, 17, 42, 0, time.UTC)

var smallLive = generate.LiveConfig{Seed: 5, Keys: 12, Principals: 16, History: 3 * time.Hour, Every: 5 * time.Minute}

var errStop = errors.New("the test stops it")

// live runs a live trail in dir until a time, and returns the planted attacks. With a
// number of deliveries above 0 it stops after so many.
func live(t *testing.T, dir string, c generate.LiveConfig, until time.Time, deliveries int) (planted []generate.Label) {
	t.Helper()
	l, err := generate.OpenLive(dir, c, liveNow)
	if err != nil {
		t.Fatal(err)
	}
	err = l.Run(func(due time.Time) error {
		if deliveries--; due.After(until) || deliveries == 0 {
			return errStop
		}
		return nil
	}, func(label generate.Label) { planted = append(planted, label) })
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	return planted
}

// TestLiveResumes: a live trail that is stopped at any delivery, or killed within it, has
// the same files and labels in the end as one that ran without interruption.
func TestLiveResumes(t *testing.T) {
	until := liveNow.Add(3 * time.Hour)
	whole, parts := t.TempDir(), t.TempDir()
	live(t, whole, smallLive, until, 0)
	r := rand.New(rand.NewPCG(1, 2))
	state := filepath.Join(parts, generate.LiveFile)
	for range 30 {
		live(t, parts, smallLive, until, 1+r.IntN(15))
		before, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		live(t, parts, smallLive, until, 1+r.IntN(3))
		if r.IntN(2) == 0 { // killed after the files and labels, before the state
			if err := os.WriteFile(state, before, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	live(t, parts, smallLive, until, 0)
	want, got := readTree(t, whole), readTree(t, parts)
	for name, text := range want {
		if string(got[name]) != string(text) {
			t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(text))
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// TestLiveTrail holds what a live trail promises: each record in its file a minute or so
// after its event, no attack in the history, then one in every stretch of time, each
// planted with the delivery of its first call.
func TestLiveTrail(t *testing.T) {
	dir := t.TempDir()
	until := liveNow.Add(4 * time.Hour)
	planted := live(t, dir, smallLive, until, 0)
	begin := liveNow.Truncate(time.Minute)
	stretches, kinds := map[time.Duration]bool{}, map[string]bool{}
	for _, label := range planted {
		stretches[label.Start.Sub(begin)/smallLive.Every] = true
		kinds[label.Scenario] = true
		if label.Start.Before(begin) || label.End.Sub(label.Start) > 4*time.Minute {
			t.Errorf("%s from %v to %v, the history ends at %v", label.Scenario, label.Start, label.End, begin)
		}
	}
	if n := int(until.Sub(begin) / smallLive.Every); len(stretches) < n-1 {
		t.Errorf("%d attacks in %d stretches", len(stretches), n)
	}
	if len(kinds) < 8 {
		t.Errorf("the attacks are %v", slices.Collect(maps.Keys(kinds)))
	}
	calls := map[string]time.Time{} // the first delivery of each call
	for name, packed := range readTree(t, dir) {
		if !strings.HasPrefix(name, "AWSLogs/") {
			continue
		}
		account, region, stamp := parseName(t, name)
		for _, raw := range unpack(t, name, packed) {
			at := checkPlace(t, name, raw, account, region)
			if lag := stamp.Sub(at); lag < 10*time.Second || lag > 4*time.Minute && stamp.After(begin) || lag > time.Hour {
				t.Errorf("%s has a record of %v, %v before", name, at, lag)
			}
			id := callIDOf(t, raw)
			if first, ok := calls[id]; !ok || stamp.Before(first) {
				calls[id] = stamp
			}
		}
	}
	for _, label := range planted {
		if calls[label.CallIDs[0]].IsZero() {
			t.Errorf("%s: its first call, %s, is in no file", label.Scenario, label.CallIDs[0])
		}
	}
}

// TestLiveForgets: files and labels are kept as long as the history is.
func TestLiveForgets(t *testing.T) {
	c := smallLive
	c.History, c.Every = time.Hour, time.Hour
	dir := t.TempDir()
	live(t, dir, c, liveNow.Add(25*time.Hour+30*time.Minute), 0)
	days := map[string]bool{}
	for name := range readTree(t, dir) {
		if strings.HasPrefix(name, "AWSLogs/") {
			_, _, stamp := parseName(t, name)
			days[stamp.Format(time.DateOnly)] = true
		}
	}
	want := []string{"2026-12-01", "2026-12-02"} // the first of them ended less than an hour before the last look
	if got := slices.Sorted(maps.Keys(days)); !slices.Equal(got, want) {
		t.Errorf("the days %v are kept, want %v", got, want)
	}
	labels := strings.Count(string(readTree(t, dir)[generate.LiveLabelsFile]), "\n")
	if labels < 1 || labels > 30 {
		t.Errorf("%d labels are kept", labels)
	}
}

// TestLiveRefuses: another trail's folder and bad settings are refused with their values.
func TestLiveRefuses(t *testing.T) {
	dir := t.TempDir()
	live(t, dir, smallLive, liveNow, 3)
	f := func(change func(*generate.LiveConfig), want string) {
		t.Helper()
		c := smallLive
		change(&c)
		if _, err := generate.OpenLive(dir, c, liveNow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(func(c *generate.LiveConfig) { c.Seed = 6 }, "another configuration")
	f(func(c *generate.LiveConfig) { c.History = time.Minute }, "History is 1m0s")
	f(func(c *generate.LiveConfig) { c.Every = time.Second }, "Every is 1s")
	if err := os.Remove(filepath.Join(dir, generate.LiveFile)); err != nil {
		t.Fatal(err)
	}
	f(func(*generate.LiveConfig) {}, "it already holds AWSLogs")
}

// callIDOf returns the id under which a record's call counts.
func callIDOf(t *testing.T, raw []byte) string {
	t.Helper()
	var r struct{ SharedEventID, EventID string }
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return cmp.Or(r.SharedEventID, r.EventID)
}
