package reconcile_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/processor/reconcile"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

const role = "arn:aws:iam::111122223333:role/app"

// compare compares lines of a log with calls, each a Decrypt on one key by role.
func compare(t *testing.T, lines []string, calls []int64, skew time.Duration, from, to int64) ([]reconcile.Pair,
	[]reconcile.Unmatched) {
	t.Helper()
	log := reconcile.NewLog()
	log.Open("app.ndjson")
	for i, text := range lines {
		if err := log.Add(i+1, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := reconcile.NewMatcher(log, keyledger.New(), skew)
	if err != nil {
		t.Fatal(err)
	}
	rec := otellog.Record{Attrs: []otellog.Attr{{Key: semconv.RPCMethod, Kind: otellog.KindString, Str: "kms/Decrypt"}}}
	for i, at := range calls {
		c := count.Call{IDText: fmt.Sprintf("%06d", i), Time: at, Key: arn, Principal: role, Class: kms.ClassDecrypt}
		if err := m.Add(&c, log.Number(&rec)); err != nil {
			t.Fatal(err)
		}
	}
	var list []reconcile.Unmatched
	pairs, err := m.Finish(from, to, func(u *reconcile.Unmatched) error {
		list = append(list, *u)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pairs, list
}

func lineAt(ns int64) string {
	return fmt.Sprintf(`{"time":%q,"key":%q,"operation":"Decrypt","principal":"role/app"}`,
		time.Unix(0, ns).UTC().Format(time.RFC3339Nano), arn)
}

// most returns the size of a maximum matching, by augmenting paths.
func most(log, calls []int64, skew int64) int {
	partner := make([]int, len(calls))
	for i := range partner {
		partner[i] = -1
	}
	n := 0
	for e := range log {
		seen := make([]bool, len(calls))
		var try func(int) bool
		try = func(e int) bool {
			for c := range calls {
				if d := calls[c] - log[e]; seen[c] || d > skew || d < -skew {
					continue
				}
				seen[c] = true
				if partner[c] < 0 || try(partner[c]) {
					partner[c] = e
					return true
				}
			}
			return false
		}
		if try(e) {
			n++
		}
	}
	return n
}

// As many pairs are found as can be, in whatever order the input comes, and everything is
// in one count.
func TestMatchesMost(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var log, calls []int64
		for range rng.IntN(30) {
			log = append(log, rng.Int64N(60)*1e9)
		}
		if len(log) == 0 {
			log = []int64{0}
		}
		for range rng.IntN(30) {
			calls = append(calls, rng.Int64N(60)*1e9)
		}
		skew := time.Duration(rng.IntN(9)) * time.Second
		var first []reconcile.Pair
		for range 3 {
			var lines []string
			for _, at := range log {
				lines = append(lines, lineAt(at))
			}
			pairs, list := compare(t, lines, calls, skew, math.MinInt64, math.MaxInt64)
			var sum reconcile.Pair
			for _, p := range pairs {
				sum.Matched += p.Matched
				sum.Unexpected += p.Unexpected
				sum.Missing += p.Missing
				if p.Expected != p.Matched+p.Missing || p.Calls != p.Matched+p.Unexpected {
					t.Fatalf("seed %d: counts do not add up: %+v", seed, p)
				}
			}
			want := int64(most(log, calls, int64(skew)))
			if sum.Matched != want || sum.Unexpected != int64(len(calls))-want || sum.Missing != int64(len(log))-want ||
				int64(len(list)) != sum.Unexpected+sum.Missing {
				t.Fatalf("seed %d: %+v and %d unmatched; want %d pairs of %d and %d", seed, sum, len(list), want, len(log),
					len(calls))
			}
			if first == nil {
				first = pairs
			} else if !reflect.DeepEqual(first, pairs) {
				t.Fatalf("seed %d: the order of the input changes the pairs: %+v, %+v", seed, first, pairs)
			}
			rng.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
			rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		}
	}
}

// Calls outside the judged period are early or pending, but may be partners.
func TestPeriod(t *testing.T) {
	s := int64(time.Second)
	pairs, list := compare(t, []string{lineAt(8 * s), lineAt(50 * s), lineAt(99 * s), lineAt(103 * s)},
		[]int64{1 * s, 12 * s, 30 * s, 104 * s, 120 * s}, 5*time.Second, 10*s, 100*s)
	want := reconcile.Pair{Key: arn, Principal: role, Expected: 4, Calls: 5, Matched: 2, Unexpected: 1, Missing: 1, Early: 1,
		Pending: 2, Skew: 5}
	if len(pairs) != 1 || pairs[0] != want {
		t.Errorf("got %+v, want %+v", pairs, want)
	}
	var kinds []string
	for _, u := range list {
		kinds = append(kinds, fmt.Sprint(u.Kind, " ", u.Time.Unix()))
	}
	if got := strings.Join(kinds, ", "); got != "unexpected_call 30, missing_call 50, pending_call 103, pending_call 120" {
		t.Errorf("unmatched: %s", got)
	}
}

// A line that says too little is refused with what it lacks.
func TestBadLines(t *testing.T) {
	log := reconcile.NewLog()
	log.Open("x")
	for text, want := range map[string]string{
		`[]`:                              "not a JSON object",
		`{"key":"a"}`:                     "time is",
		`{"time":"yesterday"}`:            "RFC 3339",
		`{"time":"2026-11-20T09:00:00Z"}`: "key is absent",
		`{"time":"2026-11-20T09:00:00Z","key":"a"} 1`: "more than one",
	} {
		if err := log.Add(1, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	ok := `{"time":"2026-11-20T09:00:00Z","key":"a","operation":"Decrypt","id":"7"}`
	if err := log.Add(2, []byte(ok)); err != nil || log.Add(3, []byte(ok)) != nil || log.Repeated != 1 || log.Len() != 1 {
		t.Errorf("%v, repeated %d, %d expected", err, log.Repeated, log.Len())
	}
	err := log.Add(4, []byte(`{"time":"2026-11-20T09:00:00Z","key":"a","principal":"b"}`))
	if want := "gives key, principal, the first line gives key, operation"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add([]byte(lineAt(0)), `{"a":"b"}`)
	f.Add([]byte(`{"time":"2026-11-20T09:00:00Z","key":"a","encryption_context":{"a":"b"}}`), `{"a":"b"}`)
	f.Fuzz(func(t *testing.T, text []byte, context string) {
		log := reconcile.NewLog()
		log.Open("x")
		err := log.Add(1, text)
		if (err == nil) != (log.Len() == 1) {
			t.Fatalf("error %v, %d calls", err, log.Len())
		}
		if err == nil && !json.Valid(text) {
			t.Fatalf("took %q", text)
		}
		log.Number(&otellog.Record{Attrs: []otellog.Attr{
			{Key: semconv.AWSKMSEncryptionContext, Kind: otellog.KindString, Str: context}}})
	})
}
