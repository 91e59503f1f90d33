package family

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

var small = Size{Keys: 20, Days: 21, Quiet: 14}

// TestFamilies checks the shape of each family: that its records are JSON in order of time,
// that a seed gives the same trail again and another seed another one, and that most
// attacks can be planted in it. -v logs its size.
func TestFamilies(t *testing.T) {
	names, accounts := map[string]bool{}, map[string]string{}
	for _, f := range All {
		t.Run(f.Name, func(t *testing.T) {
			if names[f.Name] || len(f.About) < 100 {
				t.Errorf("the name is taken, or %q does not describe an organization", f.About)
			}
			names[f.Name] = true
			trail := f.New(3, small, Attacks)
			records, head := readTrail(t, trail, 1<<62)
			if _, again := readTrail(t, f.New(3, small, Attacks), checked); !bytes.Equal(head, again) {
				t.Error("the same seed gives another trail: take chance from Org.Rand alone, and range over no map")
			}
			if _, other := readTrail(t, f.New(4, small, Attacks), checked); bytes.Equal(head, other) {
				t.Error("another seed gives the same trail")
			}
			for _, c := range trail.calls {
				if c.Key != nil && c.Key.Account != Stranger && accounts[c.Key.Account] != f.Name {
					if other := accounts[c.Key.Account]; other != "" {
						t.Fatalf("family %s has account %s, too; take another number", other, c.Key.Account)
					}
					accounts[c.Key.Account] = f.Name
				}
			}
			t.Logf("%d records, %d calls; %.1f accounts of 50 keys in use, wanted %.1f; attacks planted: %d of %d",
				records, len(trail.calls), trail.Accounts(), float64(small.Keys)/50, len(trail.Labels), len(Attacks))
			if trail.Accounts() < float64(small.Keys)/100 || trail.Accounts() > float64(small.Keys)/25 {
				t.Error("the number of keys in use is far from Org.Keys")
			}
			if 3*len(trail.Labels) < len(Attacks) {
				t.Errorf("only %d of %d attacks can be planted", len(trail.Labels), len(Attacks))
			}
		})
	}
}

// checked is the number of records that are compared and parsed.
const checked = 2000

// readTrail reads at most so many records of a trail.
func readTrail(t *testing.T, trail *Trail, most int) (records int, head []byte) {
	t.Helper()
	last := int64(0)
	for e := range trail.Events() {
		if records++; records > most {
			break
		}
		if records <= checked {
			head = append(head, e.JSON...)
			if !json.Valid(e.JSON) {
				t.Fatalf("not JSON: %s", e.JSON)
			}
		}
		if e.Time.Unix() < last || !e.Delivered.After(e.Time) {
			t.Fatalf("out of order: %s", e.JSON)
		}
		last = e.Time.Unix()
	}
	return records, head
}

// TestAttacks checks that every attack can be planted somewhere, that its label covers its
// calls, and that all principals and keys of the calls are in it.
func TestAttacks(t *testing.T) {
	planted := map[string]bool{}
	for i := range 2 * len(All) { // two seeds: attacks compete for the few keys of a small trail
		f := All[i/2]
		trail := f.New(uint64(5+i%2), small, Attacks)
		for _, l := range trail.Labels {
			planted[l.Attack] = true
			if l.Start.Before(trail.Quiet) || l.End.After(trail.End) || !l.Start.Before(l.End) || l.Note == "" ||
				len(l.Keys) == 0 || l.Calls == 0 != (len(l.Principals) == 0) {
				t.Errorf("%s: %+v", f.Name, l)
			}
		}
	}
	for _, a := range Attacks {
		if !planted[a.Name] {
			t.Errorf("no family has what %s needs", a.Name)
		}
		if !strings.HasSuffix(a.About, ".") {
			t.Errorf("%s: %q is not a sentence", a.Name, a.About)
		}
	}
}

// TestSilenceTakesCalls checks that a silent key has no records then.
func TestSilenceTakesCalls(t *testing.T) {
	trail, silent := shop.New(5, small, Attacks), 0
	for e := range trail.Events() {
		for _, m := range trail.mutes {
			if at := e.Time.Unix(); at >= m.from && at < m.to && bytes.Contains(e.JSON, []byte(m.key.ARN)) {
				t.Fatalf("a call of a silent key: %s", e.JSON)
			}
		}
	}
	for _, l := range trail.Labels {
		if l.Attack == "silence" {
			silent++
		}
	}
	if silent != 1 || !slices.ContainsFunc(trail.calls, trail.muted) {
		t.Errorf("%d silences", silent)
	}
}
