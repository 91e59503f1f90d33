package window_test

import (
	"fmt"
	"slices"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Who, what and with which contexts: the largest first.
func TestContributors(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	at := begin + 2*day
	for p, n := range map[int]int{1: 20, 2: 50, 3: 30, 4: 1} {
		c := decrypt(at, 1, p)
		if c.Context = kms.ContextS3Object; p == 3 {
			c.Class, c.Context = kms.ClassEncrypt, kms.ContextNone
		}
		r.add(c, n)
	}
	a := expect(t, r.advance(at+size), "key rate")["key rate"]
	want := []string{"50 by " + role(2) + " (50 %)", "30 by " + role(3) + " (30 %)", "20 by " + role(1) + " (20 %)", "71 decrypt (70 %)", "30 encrypt (30 %)", "71 with context s3_object (70 %)"}
	if fmt.Sprint(a.Contributors) != fmt.Sprint(want) || a.Since != begin {
		t.Errorf("%q since %s, want %q", a.Contributors, stamp(a.Since), want)
	}
}

// A principal's contributors are its KMS keys and networks, by name if this engine counts them.
func TestContributorsOfAPrincipal(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	at := begin + 2*day
	for k, n := range map[int]int{1: 40, 2: 30, 3: 20, 4: 10} {
		c := decrypt(at, k, 1)
		if c.Network = count.Network("198.18.7.9"); k == 4 {
			c.Network = count.Network("2001:db8:1::7")
		}
		r.add(c, n)
	}
	elsewhere := wire.Partial{Entity: roleOf(1), Start: at, Counters: []wire.Counter{{ID: wire.CounterCalls, N: 100}}}
	for k := range 2 {
		elsewhere.Sets[wire.SetPeers].Values = append(elsewhere.Sets[wire.SetPeers].Values, wire.HashCount{Hash: uint64(k) + 1, N: 50})
	}
	r.e.Merge(&elsewhere)
	a := expect(t, r.advance(at+size), "key rate", "principal rate", "principal new_peers")["principal rate"]
	want := []string{
		"40 on KMS key " + keyARN(1) + " (20 %)", "30 on KMS key " + keyARN(2) + " (15 %)", "20 on KMS key " + keyARN(3) + " (10 %)",
		"100 on 2 KMS keys of other partitions (50 %)", "90 from 198.18.0.0/16 (45 %)", "10 from IPv6 networks (5 %)", "100 decrypt (50 %)",
	}
	if !slices.Equal(a.Contributors, want) {
		t.Errorf("%q\nwant\n%q", a.Contributors, want)
	}
}
