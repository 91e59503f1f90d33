package count

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/view"
	"keytrail/schemas/wire"
)

const (
	home   = "arn:aws:kms:eu-central-1:111122223333:"
	alias  = home + "alias/a"
	other  = home + "alias/b"
	keyA   = home + "key/a"
	keyB   = home + "key/b"
	multi  = home + "key/mrk-1"
	abroad = "arn:aws:kms:us-east-1:111122223333:key/mrk-1"
)

// shows decodes an event and returns what it shows.
func shows(t *testing.T, name, code, members, resources string) (Shown, *Call) {
	t.Helper()
	event := strings.NewReplacer(`"Decrypt"`, `"`+name+`"`, `"requestParameters":{`, `"requestParameters":{`+members, `"responseElements":null`, `"errorCode":"`+code+`","responseElements":null`,
		`"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/a"}]`, `"resources":[`+resources+`]`).Replace(decrypt)
	c := new(Call)
	FromRecord(record(t, event, normalize.Options{}), c)
	return c.Shown, c
}

func TestShown(t *testing.T) {
	f := func(name, code, members, resources string, want Shown) {
		t.Helper()
		if got, _ := shows(t, name, code, members, resources); got != want {
			t.Errorf("%s %s shows %+v, want %+v", name, code, got, want)
		}
	}
	a, both := `{"ARN":"`+keyA+`"}`, `{"ARN":"`+alias+`"},{"ARN":"`+keyA+`"}`
	f("Decrypt", "", "", a, Shown{})
	f("Encrypt", "", `"keyId":"alias/a",`, a, Shown{Alias: alias})
	f("Encrypt", "DisabledException", `"keyId":"alias/a",`, a, Shown{Alias: alias})
	f("CreateAlias", "", `"aliasName":"alias/a",`, both, Shown{Alias: alias})
	f("UpdateAlias", "", `"aliasName":"alias/a",`, both, Shown{Alias: alias})
	f("DeleteAlias", "", `"aliasName":"alias/a",`, both, Shown{Alias: alias, Unbound: true})
	for _, name := range []string{"CreateAlias", "UpdateAlias", "DeleteAlias"} { // what was not done
		f(name, "AccessDenied", `"aliasName":"alias/a",`, both, Shown{})
	}
	f("ReEncrypt", "", `"sourceKeyId":"alias/a","destinationKeyId":"alias/b",`, a+`,{"ARN":"`+keyB+`"}`, Shown{Alias: alias, SecondAlias: other})
	m := `{"ARN":"` + multi + `"}`
	f("ReplicateKey", "", `"replicaRegion":"us-east-1",`, m, Shown{Primary: multi, Replica: abroad})
	f("UpdatePrimaryRegion", "", `"primaryRegion":"us-east-1",`, m, Shown{Primary: abroad})
	f("UpdatePrimaryRegion", "AccessDenied", `"primaryRegion":"us-east-1",`, m, Shown{})
}

// bindings lists what a table has learned.
func bindings(tables ...*Table) (list []string) {
	merged := map[string]*wire.Partial{}
	for _, t := range tables {
		for p := range t.All() {
			at := fmt.Sprintf("%s %s %d", p.Scope, p.Key+p.Principal, p.Start-begin)
			if merged[at] == nil {
				merged[at] = &wire.Partial{}
			}
			Merge(merged[at], p)
		}
	}
	for at, p := range merged {
		if p.Binding != nil {
			list = append(list, fmt.Sprintf("%s %d %s", at, p.Binding.Time-begin, p.Binding.Key))
		}
	}
	slices.Sort(list)
	return list
}

func TestLearn(t *testing.T) {
	f := func(c Call, want ...string) {
		t.Helper()
		c.Time = begin + 7
		table := NewTable(size)
		table.Learn(&c)
		table.Learn(&c)
		for i := range want {
			name, target, _ := strings.Cut(want[i], " ")
			want[i] = "key " + name + " 0 7 " + target
		}
		if got := bindings(table); !slices.Equal(got, want) || table.Len() != len(want) {
			t.Errorf("%+v: learned %q, want %q; %d partials", c.Shown, got, want, table.Len())
		}
	}
	f(Call{Key: keyA})
	f(Call{Key: keyA, Shown: Shown{Alias: alias}}, alias+" "+keyA)
	f(Call{Key: keyA, Shown: Shown{Alias: alias, Unbound: true}}, alias+" ")
	f(Call{Key: alias, Shown: Shown{Alias: alias, Unbound: true}}, alias+" ")
	f(Call{Key: alias, Shown: Shown{Alias: alias}})
	f(Call{Key: "-", Shown: Shown{Alias: alias}})
	f(Call{Key: keyA, SecondKey: keyB, Shown: Shown{Alias: alias, SecondAlias: other}}, alias+" "+keyA, other+" "+keyB)
	f(Call{Key: keyA, SecondKey: other, Shown: Shown{SecondAlias: other}})
	f(Call{Key: keyA, Shown: Shown{SecondAlias: other}})
	f(Call{Key: multi, Shown: Shown{Primary: multi}}, multi+" "+multi)
	f(Call{Key: multi, Shown: Shown{Primary: abroad, Replica: keyA}}, multi+" "+abroad)
	f(Call{Key: multi, Shown: Shown{Primary: multi, Replica: abroad}}, multi+" "+multi, abroad+" "+multi)
	f(Call{Key: multi, Shown: Shown{Replica: abroad}})
	// An alias that looks like a key teaches a key nothing.
	f(Call{Key: keyA, Shown: Shown{Alias: multi + ":alias/x"}})
	f(Call{Key: keyA, Shown: Shown{Alias: multi, Unbound: true, Primary: abroad}})
	f(Call{Key: multi, Shown: Shown{Primary: alias}})
}

// The newest binding of each window is kept, whatever the order and however the
// calls are spread over tables; bindings change no count.
func TestTheNewestBindingIsKept(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 11))
		var calls []Call
		want := map[string]wire.Binding{}
		for i := range 200 {
			c := randomCall(rng, i)
			c.Time = begin + rng.Int64N(2*size)/1e9*1e9 // whole seconds, so that some are equal
			c.Key = []string{keyA, keyB, alias}[rng.IntN(3)]
			c.SecondKey = ""
			c.Shown = Shown{Alias: []string{"", alias, other}[rng.IntN(3)], Unbound: rng.IntN(9) == 0}
			calls = append(calls, c)
			b := wire.Binding{Time: c.Time, Key: c.Key}
			if c.Shown.Unbound {
				b.Key = ""
			}
			name := fmt.Sprintf("key %s %d", c.Shown.Alias, (c.Time-begin)/size*size)
			if old := want[name]; c.Shown.Alias != "" && b.Key != alias && (b.Time > old.Time || b.Time == old.Time && b.Key > old.Key) {
				want[name] = b
			}
		}
		var sorted []string
		for name, b := range want {
			sorted = append(sorted, fmt.Sprintf("%s %d %s", name, b.Time-begin, b.Key))
		}
		slices.Sort(sorted)
		for range 4 {
			rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
			parts, plain := []*Table{NewTable(size), NewTable(size), NewTable(size)}, NewTable(size)
			for i := range calls {
				part := parts[rng.IntN(len(parts))]
				part.Add(&calls[i], 1)
				part.Learn(&calls[i])
				plain.Add(&calls[i], 1)
			}
			if wrong := difference(windows(parts...), windows(plain)); wrong != "" {
				t.Fatalf("seed %d: bindings change the counts: %s", seed, wrong)
			}
			if got := bindings(parts...); !slices.Equal(got, sorted) {
				t.Fatalf("seed %d: %q, want %q", seed, got, sorted)
			}
		}
	}
}

// A learned binding outlives the record and the partial that showed it.
func TestBindingsAreOwned(t *testing.T) {
	buffer := []byte(alias + keyA)
	c := Call{Time: begin, Key: view.String(buffer[len(alias):]), Shown: Shown{Alias: view.String(buffer[:len(alias)])}}
	table, own := NewTable(size), c.Clone()
	table.Learn(&c)
	var p, q wire.Partial
	for one := range table.All() {
		Merge(&p, one)
		Merge(&q, one)
	}
	c.Time++
	table.Learn(&c)
	clear(buffer)
	if p.Binding.Key != keyA || p.Binding.Time != begin || p.Binding == q.Binding {
		t.Errorf("the merged binding changed to %+v", *p.Binding)
	}
	if got, want := bindings(table), []string{"key " + alias + " 0 1 " + keyA}; !slices.Equal(got, want) {
		t.Errorf("the table now holds %q, want %q", got, want)
	}
	if own.Shown != (Shown{}) {
		t.Errorf("a clone is learned from again: %+v", own.Shown)
	}
}

// A partial that only binds changes something, but no count.
func TestEmptyAndNoCounts(t *testing.T) {
	f := func(p wire.Partial, empty, none bool) {
		t.Helper()
		if Empty(&p) != empty || NoCounts(&p) != none {
			t.Errorf("%+v: empty %v, no counts %v", p, Empty(&p), NoCounts(&p))
		}
	}
	f(wire.Partial{}, true, true)
	f(wire.Partial{Binding: &wire.Binding{}}, false, true)
	f(wire.Partial{Binding: &wire.Binding{}, Counters: []wire.Counter{{ID: 1, N: 1}}}, false, false)
	set := wire.Partial{}
	set.Sets[wire.SetPeers].Values = []wire.HashCount{{Hash: 1, N: 1}}
	f(set, false, false)
}
