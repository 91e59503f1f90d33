package wire_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

func TestTopics(t *testing.T) {
	want := wire.Topics{
		Raw: "kms.raw", Events: "kms.events", Partials: "kms.partials", Windows: "kms.windows",
		Anomalies: "kms.anomalies", Incidents: "kms.incidents", Keys: "kms.keys", State: "kms.state", Dedup: "kms.dedup", DeadLetter: "kms.deadletter", Status: "kms.status",
	}
	if got := wire.DefaultTopics(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := wire.NewTopics("eu.").Partials; got != "eu.partials" {
		t.Errorf("with a prefix: %q", got)
	}
}

func TestCallKey(t *testing.T) {
	var rec otellog.Record
	if key := wire.CallKey(&rec); len(key) != 0 {
		t.Errorf("no call id gives %q", key)
	}
	rec.CallID = "c3"
	if key := wire.CallKey(&rec); string(key) != "c3" {
		t.Errorf("key %q", key)
	}
}

func TestParseCallID(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		id := wire.ParseCallID(text)
		if got := hex.EncodeToString(id[:]); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	hashed := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:16])
	}
	f("91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e", "91b9e9c55d1a4d0c9c716a3f1f0f2b7e")
	f("91B9E9C5-5D1A-4D0C-9C71-6A3F1F0F2B7E", "91b9e9c55d1a4d0c9c716a3f1f0f2b7e")
	f("00000000-0000-0000-0000-000000000000", strings.Repeat("0", 32))
	f("ffffffff-ffff-ffff-ffff-ffffffffffff", strings.Repeat("f", 32))
	for _, text := range []string{
		"", "x", "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7", "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7ee", "91b9e9c55d1a4d0c9c716a3f1f0f2b7e",
		"91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7g", "91b9e9c5_5d1a-4d0c-9c71-6a3f1f0f2b7e", "91b9e9c-55d1a-4d0c-9c71-6a3f1f0f2b7e",
		"------------------------------------", "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b-e", strings.Repeat("\x00", 36), strings.Repeat("é", 18),
	} {
		f(text, hashed(text))
	}
}

var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func FuzzParseCallID(f *testing.F) {
	f.Add("91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7e", "91b9e9c5-5d1a-4d0c-9c71-6a3f1f0f2b7f")
	f.Add("", "-")
	f.Fuzz(func(t *testing.T, a, b string) {
		same := a == b || uuid.MatchString(a) && uuid.MatchString(b) && strings.EqualFold(a, b)
		if (wire.ParseCallID(a) == wire.ParseCallID(b)) != same {
			t.Errorf("%q and %q", a, b)
		}
	})
}

// TestOwner: the owner of an entity is part of the contract between processes of
// different versions, so its values are pinned.
func TestOwner(t *testing.T) {
	for name, want := range map[string]uint64{ // worked out from the description by another program
		"": 0xf52a15e9a9b5e89b, "p\naws": 0x5e822d12a00f131d, "eight by": 0x1d60b435d98c2f56,
		"k\narn:aws:kms:eu-central-1:111122223333:key/1234abcd": 0xf7d040268d7d414c,
	} {
		if got := wire.EntityHash(name); got != want || wire.Owner(name, 12) != int32(want%12) {
			t.Errorf("EntityHash(%q) = %#x, want %#x; owner of 12: %d", name, got, want, wire.Owner(name, 12))
		}
	}
	counts := make([]int, 7)
	for i := range 70_000 {
		owner := wire.Entity{Scope: wire.ScopeKey, Key: fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%08x", i)}.Owner(7)
		counts[owner]++
	}
	for p, n := range counts {
		if n < 9_500 || n > 10_500 {
			t.Errorf("partition %d owns %d of 70,000 entities, want about 10,000", p, n)
		}
	}
}

func TestStateKey(t *testing.T) {
	seen := map[string]wire.Entity{}
	for _, e := range []wire.Entity{
		{Scope: wire.ScopeKey, Key: "a"}, {Scope: wire.ScopePrincipal, Principal: "a"}, {Scope: wire.ScopePair, Key: "a", Principal: "b"},
		{Scope: wire.ScopePair, Key: "", Principal: "a"}, {Scope: wire.ScopePair, Key: "a"}, {Scope: wire.ScopePair, Key: "-", Principal: "-"}, {Scope: wire.ScopeKey, Key: "-"},
	} {
		if other, had := seen[e.StateKey()]; had {
			t.Errorf("%+v and %+v have one state key", e, other)
		}
		seen[e.StateKey()] = e
	}
	if s := wire.ScopeKey.String() + wire.ScopePrincipal.String() + wire.ScopePair.String() + wire.Scope(9).String(); s != "keyprincipalpairunknown" {
		t.Errorf("scopes %s", s)
	}
}

// TestCounterNames: every counter has its own name, and those of the classes are in the
// order of package kms.
func TestCounterNames(t *testing.T) {
	if kms.NumClasses != 17 || kms.NumContexts != 16 || wire.CounterContext-wire.CounterClass != 17 || wire.CounterUnusableKey-wire.CounterContext != 16 {
		t.Fatalf("%d classes, %d contexts, counters %d, %d, %d", kms.NumClasses, kms.NumContexts, wire.CounterClass, wire.CounterContext, wire.CounterUnusableKey)
	}
	seen := map[string]bool{}
	for c := range wire.NumCounters {
		if name := c.Name(); !strings.HasPrefix(name, "keytrail.window.") || seen[name] {
			t.Errorf("counter %d has the name %q, which is no window's or not its own", c, name)
		}
		seen[c.Name()] = true
	}
	for c := range kms.NumClasses {
		if name := (wire.CounterClass + wire.CounterID(c)).Name(); name != "keytrail.window.calls."+c.String() {
			t.Errorf("class %s is counted as %q", c, name)
		}
	}
	for c := range kms.NumContexts {
		if name := (wire.CounterContext + wire.CounterID(c)).Name(); name != "keytrail.window.context."+c.String() {
			t.Errorf("context %s is counted as %q", c, name)
		}
	}
}

func TestFromBadRecord(t *testing.T) {
	at := time.Unix(1772442764, 5)
	bad := &decoding.BadRecord{Object: "o", Index: 3, Offset: 99, Reason: decoding.ReasonSyntax, Detail: "d", Raw: []byte("raw"), Cut: true}
	want := fmt.Sprint(wire.DeadLetter{Stage: "scan", Reason: "bad_json", Detail: "d", Object: "o", Index: 3, Offset: 99, Time: at.UnixNano(), Raw: []byte("raw"), Cut: true})
	for _, err := range []error{bad, fmt.Errorf("cannot read: %w", bad)} {
		if got := fmt.Sprint(wire.FromBadRecord("scan", err, at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	got := fmt.Sprint(wire.FromBadRecord("count", errors.New("boom"), at))
	if want := fmt.Sprint(wire.DeadLetter{Stage: "count", Reason: "error", Detail: "boom", Time: at.UnixNano()}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDeadLetterHeaders(t *testing.T) {
	d := wire.DeadLetter{Stage: "scan", Reason: "bad_json", Detail: "expected ','", Object: "a/b.json.gz", Index: 7, Offset: 1 << 40, Raw: []byte("x")}
	text := func() (s string) {
		for _, h := range d.Headers() {
			s += h.Key + "=" + string(h.Value) + ";"
		}
		return s
	}
	want := "stage=scan;reason=bad_json;detail=expected ',';object=a/b.json.gz;index=7;offset=1099511627776;"
	if got := text(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	d.Cut = true
	if got := text(); got != want+"cut=true;" {
		t.Errorf("cut: %s", got)
	}
}

// TestDeadLetterJSON: one line, from which the bytes come back, whatever they are.
func TestDeadLetterJSON(t *testing.T) {
	for _, raw := range []string{`{"eventVersion":"1.08",}`, "", "line\nfeed \x00 <&> \u2028 é", "\xff\xfe", strings.Repeat("\x80", 1000)} {
		d := wire.DeadLetter{Stage: "scan", Reason: "bad_json", Detail: `expected "x"`, Object: "o\n", Index: 2, Offset: 3, Time: 1772442764000000005, Raw: []byte(raw), Cut: true}
		line := d.AppendJSON([]byte("before"))[len("before"):]
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil || strings.Contains(string(line), "\n") {
			t.Fatalf("%v: %s", err, line)
		}
		back, _ := got["raw"].(string)
		if packed, ok := got["raw_base64"].(string); ok {
			b, err := base64.StdEncoding.DecodeString(packed)
			if err != nil {
				t.Error(err)
			}
			back = string(b)
		}
		if back != raw || got["time"] != "2026-03-02T09:12:44.000000005Z" || got["stage"] != "scan" || got["reason"] != "bad_json" || got["detail"] != `expected "x"` ||
			got["object"] != "o\n" || got["index"] != 2.0 || got["offset"] != 3.0 || got["cut"] != true {
			t.Errorf("%s", line)
		}
	}
}
