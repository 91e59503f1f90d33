package count

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/schemas/kms"
)

// TestComplete: whichever of the copies of a ReEncrypt comes first, and however often and
// in what order the others come, both keys are there in the end, each once, and a key takes
// the place of the alias that it is behind.
func TestComplete(t *testing.T) {
	const a, b, x, none = "arn:aws:kms:eu-west-1:1:key/a", "arn:aws:kms:eu-west-1:2:key/b", "arn:aws:kms:eu-west-1:1:alias/x", kms.NoEntity
	of := func(names ...string) Call {
		c := Call{Class: kms.ClassReencrypt, Key: names[0], Open: true}
		if len(names) > 1 {
			c.SecondKey, c.Open = names[1], names[0] == x || names[1] == x
		}
		return c
	}
	for _, set := range [][]Call{
		{of(a), of(b)}, {of(none), of(a), of(b)}, {of(x), of(a), of(b)}, {of(x, b), of(a)}, {of(a, b), of(a), of(b)}, {of(a, x), of(b)}, {of(none), of(b, a)},
	} {
		for seed := range uint64(50) {
			rng := rand.New(rand.NewPCG(seed, 1))
			copies := slices.Concat(set, set)
			rng.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
			c := copies[0]
			for i := range copies {
				before := c
				if changed := c.Complete(&copies[i]); changed != (c != before) {
					t.Fatalf("changed %v, from %+v to %+v", changed, before, c)
				}
			}
			got := []string{c.Key, c.SecondKey}
			if slices.Sort(got); fmt.Sprint(got) != fmt.Sprint([]string{a, b}) || c.Open {
				t.Fatalf("%+v: keys %q, open %v", copies, got, c.Open)
			}
		}
	}
	// A call that is complete, or of another operation, takes nothing.
	same, decrypt, other := of(a), Call{Class: kms.ClassDecrypt, Key: a}, of(b)
	same.Open = false
	if same.Complete(&other) || decrypt.Complete(&other) {
		t.Errorf("%+v, %+v", same, decrypt)
	}
}
