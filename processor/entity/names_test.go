package entity

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// nameTexts are names as AWS writes them, and what a caller can write into a key id.
func nameTexts() []string {
	list := []string{"", "-", "/", "//", "a", "alias/a", "/01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef", "\x00/", "é/é"}
	for account := range 3 {
		for i := range 40 {
			list = append(list,
				fmt.Sprintf("arn:aws:kms:eu-central-1:11112222333%d:key/%08x-1111-4222-8333-%012X", account, i*7919, i),
				fmt.Sprintf("arn:aws:kms:eu-central-1:11112222333%d:key/%08x-1111-4222-8333-%012x", account, i*7919, i),
				fmt.Sprintf("arn:aws:kms:eu-central-1:11112222333%d:key/mrk-%032x", account, i),
				fmt.Sprintf("arn:aws:kms:eu-central-1:11112222333%d:alias/a%d/b", account, i),
				fmt.Sprintf("arn:aws:iam::11112222333%d:role/service-role/service-%d", account, i),
				fmt.Sprintf("arn:aws:sts::11112222333%d:assumed-role/r%d", account, i))
		}
	}
	return list
}

func expand(n *names, short []byte) string { return string(n.expand(nil, short)) }

// TestNames: a name comes back as it was, has one short form, and short forms are in the
// order of the names.
func TestNames(t *testing.T) {
	var n names
	list, rng := nameTexts(), rand.New(rand.NewPCG(1, 1))
	short := map[string][]byte{}
	for _, name := range list {
		short[name] = n.shorten(nil, name)
	}
	for _, name := range list {
		if got := expand(&n, short[name]); got != name {
			t.Errorf("%q became %q", name, got)
		}
		if again := n.shorten([]byte("x"), name); string(again[1:]) != string(short[name]) || again[0] != 'x' {
			t.Errorf("%q is %x, and then %x", name, short[name], again)
		}
	}
	for range 50_000 {
		a, b := list[rng.IntN(len(list))], list[rng.IntN(len(list))]
		if got, want := n.compare(short[a], short[b]), strings.Compare(a, b); got != want {
			t.Fatalf("%q and %q compare as %d, want %d", a, b, got, want)
		}
		if (a == b) != bytes.Equal(short[a], short[b]) {
			t.Fatalf("%q is %x, and %q %x", a, short[a], b, short[b])
		}
	}
	key := "arn:aws:kms:eu-central-1:111122223330:key/00001eef-1111-4222-8333-000000000001"
	if n := len(short[key]); n != 17 {
		t.Errorf("%q takes %d bytes, want 17", key, n)
	}
}

// However many accounts there are, and whatever a caller writes into a key id, the heads
// stay within their bounds.
func TestNamesAreBounded(t *testing.T) {
	var n names
	for _, size := range []int{maxHeadBytes - 1, maxHeadBytes} { // and the slash
		name := strings.Repeat("h", size) + "/x"
		if got := expand(&n, n.shorten(nil, name)); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	if len(n.heads) != 1 {
		t.Errorf("%d heads, want 1: the other is too long", len(n.heads))
	}
	n = names{}
	for round := range 2 {
		for i := range 2 * maxHeads {
			name := fmt.Sprintf("%d/x", i)
			if got := expand(&n, n.shorten(nil, name)); got != name {
				t.Fatalf("round %d: %q became %q", round, name, got)
			}
		}
	}
	if len(n.heads) != maxHeads || len(n.known) != maxHeads {
		t.Errorf("%d and %d heads, want %d", len(n.heads), len(n.known), maxHeads)
	}
}

func FuzzNames(f *testing.F) {
	list := nameTexts()
	for i := range list[1:30] {
		f.Add(list[i], list[i+1])
	}
	var n names
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := n.shorten(nil, a), n.shorten(nil, b)
		if expand(&n, x) != a || expand(&n, y) != b || n.compare(x, y) != strings.Compare(a, b) || bytes.Equal(x, y) != (a == b) {
			t.Errorf("%q is %x and %q %x", a, x, b, y)
		}
	})
}
