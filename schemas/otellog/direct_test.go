package otellog_test

import (
	"bytes"
	"strings"
	"testing"

	"keytrail/schemas/otellog"
)

// fill adds attributes of every kind and of lengths around those at which a
// length takes another byte.
func fill(r *otellog.Record, round int) {
	r.Time, r.Body, r.CallID = 5, "body", "id"
	for _, n := range []int{1, 60, 100, 124, 125, 126, 127, 128, 300, 20_000} {
		r.String("name", strings.Repeat("v", n+round))
		r.String("a.name.that.is.as.long.as.the.longest.of.those.that.are.framed", strings.Repeat("v", n))
		r.String("a.name.that.is.longer.than.the.longest.of.those.that.are.framed", strings.Repeat("v", n))
	}
	r.String("none", "")
	r.Bool("yes", true)
	r.Bool("no", false)
	r.Bool("a.boolean.whose.name.is.longer.than.the.longest.of.those.that.are.framed", true)
	for _, n := range []int64{0, 1, 127, 128, 16383, 16384, -1, int64(round) << 40} {
		r.Int("n", n)
	}
	r.Double("d", 0.5)
	r.Strings("list", []string{"1", strings.Repeat("2", 200)})
}

// TestDirect: a direct record's encoding is that of the record itself, with a run
// of it kept and put back as well.
func TestDirect(t *testing.T) {
	var direct, plain, again otellog.Record
	var enc, other otellog.Encoder
	var block otellog.Block
	for round := range 4 {
		plain.Reset()
		plain.Where("account", strings.Repeat("1", 1+round/2))
		plain.String("before", "1")
		fill(&plain, round)
		plain.String("after", "2")
		want := otellog.AppendRequest(nil, &plain)

		direct.Reset()
		direct.Direct(&enc)
		if round%2 == 0 { // the account changes every other time
			direct.Where("account", plain.Resource[0].Str)
		} else {
			direct.SameResource()
		}
		direct.String("before", "1")
		run := direct.Run()
		fill(&direct, round)
		direct.Keep(&block, run)
		direct.String("after", "2")
		if got := otellog.AppendRequest(nil, &direct); !bytes.Equal(got, want) {
			t.Fatalf("round %d: the direct record is encoded otherwise", round)
		}
		if len(direct.Attrs)+len(direct.Resource) != 0 {
			t.Errorf("a direct record has attributes: %v, %v", direct.Attrs, direct.Resource)
		}

		again.Reset()
		again.Direct(&other)
		again.Where("account", plain.Resource[0].Str)
		again.Time, again.Body = plain.Time, plain.Body
		again.String("before", "1")
		again.Block(&block)
		again.String("after", "2")
		if got := otellog.AppendRequest(nil, &again); !bytes.Equal(got, want) {
			t.Fatalf("round %d: the kept run is encoded otherwise", round)
		}
	}
	direct.Reset()
	plain.Reset()
	direct.Direct(&enc)
	if got, want := otellog.AppendRequest(nil, &direct), otellog.AppendRequest(nil, &plain); !bytes.Equal(got, want) {
		t.Errorf("a record without a resource is encoded with one: %q, want %q", got, want)
	}
	direct.Reset()
	direct.String("name", "value")
	if direct.Str("name") != "value" {
		t.Error("after Reset the record is still direct")
	}
}

// TestManyNames: more names than places are framed all the same.
func TestManyNames(t *testing.T) {
	var direct, plain otellog.Record
	var enc otellog.Encoder
	direct.Direct(&enc)
	names := strings.Repeat("abcdefghij", 100)
	for i := range 900 {
		for n := range 5 {
			direct.String(names[i:i+1+n], "v")
			plain.String(names[i:i+1+n], "v")
		}
	}
	if !bytes.Equal(otellog.AppendRequest(nil, &direct), otellog.AppendRequest(nil, &plain)) {
		t.Error("they are encoded otherwise")
	}
}
