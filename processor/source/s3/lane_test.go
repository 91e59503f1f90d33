package s3

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStartKey(t *testing.T) {
	f := func(prefix string, start time.Time, want string) {
		t.Helper()
		if got := StartKey(prefix, start); got != want {
			t.Errorf("%s from %v on begins behind %s, want %s", prefix, start, got, want)
		}
	}
	logs := "org/AWSLogs/o-1/111122223333/CloudTrail/eu-central-1/"
	f(logs, day, logs+"2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T0900Z")
	f(logs, time.Time{}, logs)
	digests := "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/"
	f(digests, day, digests+"2026/11/20/")
	// A file of that minute comes behind the key, one of the minute before does not.
	key := file("", "111122223333", "eu-central-1", day, "a")
	if prefix := "AWSLogs/111122223333/CloudTrail/eu-central-1/"; key <= StartKey(prefix, day) || file("", "111122223333", "eu-central-1", day.Add(-time.Minute), "z") > StartKey(prefix, day) {
		t.Error("the start time cuts at the wrong file")
	}
}

// A page may have been asked for before low moved over it.
func TestLaneOffersNothingTwice(t *testing.T) {
	l := &lane{prefix: "p/", low: "p/b", known: map[string]*track{"p/d": {state: offered}}}
	got := l.fresh([]Ref{{Key: "p/a"}, {Key: "p/b"}, {Key: "p/c"}, {Key: "p/d"}}, day)
	if len(got) != 1 || got[0].Key != "p/c" {
		t.Errorf("offered are %v, want p/c alone", got)
	}
}

func TestLaneAdvances(t *testing.T) {
	l := &lane{prefix: "p/", low: "p/", known: map[string]*track{}}
	add := func(name string, at time.Time, s state) { l.known["p/"+name] = &track{state: s, stamp: at} }
	add("a", day, done)
	add("b", day, offered)
	add("c", day, done)
	add("d", day.Add(time.Hour), done)
	want := func(low string, known ...string) {
		t.Helper()
		var got []string
		for k := range l.known {
			got = append(got, strings.TrimPrefix(k, "p/"))
		}
		slices.Sort(got)
		if l.low != "p/"+low || !slices.Equal(got, known) {
			t.Errorf("low is %s with %v, want %s with %v", l.low, got, low, known)
		}
	}
	l.advance(day)
	want("a", "b", "c", "d") // not over what is not done
	l.known["p/b"].state = done
	l.advance(day)
	want("c", "d") // not over what is young
	l.digest = true
	l.advance(day.Add(47 * time.Hour))
	want("c", "d")
	l.advance(day.Add(49 * time.Hour))
	want("d")
	if s := l.stateOf(); s.Low != "d" || len(s.Done) != 0 {
		t.Errorf("kept is %+v", s)
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(`{"version":1,"kind":"s3","bucket":"b","prefix":"p","start":"2026-11-20T09:00:00Z","lanes":{"AWSLogs/1/CloudTrail/r/":{"low":"x","done":["y"]}}}`)
	f.Add(`{"version":1,"kind":"s3","bucket":"b","prefix":"p","lanes":{"":{"low":""}}}`)
	f.Fuzz(func(t *testing.T, content string) {
		c, err := parseCheckpoint([]byte(content), "b", "p")
		if err != nil {
			return
		}
		for prefix, s := range c.Lanes {
			l := restore(prefix, s)
			l.begin()
			l.advance(day)
		}
		b, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseCheckpoint(b, "b", "p")
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if b2, err := json.Marshal(&again); err != nil || string(b2) != string(b) {
			t.Errorf("%s comes back as %s, %v", b, b2, err)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, url := range []string{"s3://trail/org", "s3://trail", "s3:///x", "s3://a/../b", "http://trail/x"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		bucket, prefix, err := ParseURL(url)
		if err == nil && (!ValidBucket(bucket) || strings.ContainsAny(bucket, "/@:#?") || !strings.HasPrefix(url, Scheme+bucket) || !strings.HasSuffix(url, prefix)) {
			t.Errorf("%q is bucket %q and prefix %q", url, bucket, prefix)
		}
	})
}
