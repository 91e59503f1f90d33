package s3

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/aws/notification"
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
	// A file of that minute follows the key, one of the minute before does not.
	key := file("", "111122223333", "eu-central-1", day, "a")
	if prefix := "AWSLogs/111122223333/CloudTrail/eu-central-1/"; key <= StartKey(prefix, day) || file("", "111122223333", "eu-central-1", day.Add(-time.Minute), "z") > StartKey(prefix, day) {
		t.Error("the start time cuts at the wrong file")
	}
}

const euLogs = "AWSLogs/111122223333/CloudTrail/eu-central-1/"

// euFile is a log of the lane euLogs.
func euFile(at time.Time, unique string) string {
	return file("", "111122223333", "eu-central-1", at, unique)
}

// A page may have been requested before low moved over it.
func TestLaneOffersNothingTwice(t *testing.T) {
	a, b, c, d, e := euFile(day, "a"), euFile(day, "b"), euFile(day, "c"), euFile(day, "d"), euFile(day, "e")
	l := newLane(euLogs, b)
	l.known[d], l.known[e] = &track{state: offered}, &track{state: parked}
	got := l.fresh([]Ref{{Key: a}, {Key: b}, {Key: c}, {Key: d}, {Key: e}}, day, func(key, _, _ string) { t.Errorf("%s is a stray", key) })
	if len(got) != 1 || got[0].Key != c {
		t.Errorf("offered are %v, want %s alone", got, c)
	}
}

func TestLaneAdvances(t *testing.T) {
	l := newLane(euLogs, euLogs)
	l.prefix = ""
	add := func(name string, at time.Time, s state) { l.known[name] = &track{state: s, stamp: at} }
	add("0a", day, done)
	add("0b", day, offered)
	add("0c", day, parked)
	add("0d", day.Add(time.Hour), done)
	want := func(low string, known ...string) {
		t.Helper()
		var got []string
		for k := range l.known {
			got = append(got, k)
		}
		slices.Sort(got)
		if l.low != low || !slices.Equal(got, known) {
			t.Errorf("low is %s with %v, want %s with %v", l.low, got, low, known)
		}
	}
	l.low = ""
	l.advance(day, 0)
	want("", "0a", "0b", "0c", "0d") // not before it was listed
	l.begin(day)
	l.listed(&Page{Last: "0c", More: true}, day)
	l.page = []Ref{{Key: "0Z"}} // listed, but not yet offered
	l.advance(day, 0)
	want("", "0a", "0b", "0c", "0d")
	l.page = nil
	l.advance(day, 0)
	want("0a", "0b", "0c", "0d") // not over unfinished keys
	l.known["0b"].state = done
	l.advance(day, time.Second)
	want("0a", "0b", "0c", "0d") // not over young keys
	l.begin(day.Add(-time.Second))
	l.listed(&Page{Last: "0c", More: true}, day)
	l.old = frontier{}
	l.advance(day.Add(time.Hour), 0)
	want("0a", "0b", "0c", "0d") // not over keys that may have appeared since the listing
	l.begin(day)
	l.listed(&Page{Last: "0c", More: true}, day)
	l.begin(day.Add(time.Hour)) // whose listings fail
	l.advance(day.Add(time.Hour), 0)
	want("0c", "0d")
	l.begin(day.Add(100 * time.Hour))
	l.listed(&Page{Last: "0z", More: true}, day)
	l.kind = notification.FileDigest
	l.advance(day.Add(48*time.Hour), 0)
	want("0c", "0d")
	l.advance(day.Add(49*time.Hour), 0)
	want("0d")
	if s := l.stateOf(); s.Low != "0d" || len(s.Done) != 0 {
		t.Errorf("kept is %+v", s)
	}
}

// In a lane full of strays low follows the clock, but only after a round that saw
// everything, and not over unfinished keys.
func TestLaneSweeps(t *testing.T) {
	l := newLane(euLogs, euLogs)
	sweep := func(want string) {
		t.Helper()
		l.sweep(2 * time.Hour)
		if l.low != want {
			t.Errorf("low is %s, want %s", l.low, want)
		}
	}
	l.begin(day)
	l.more, l.strays = false, maxPage-1
	sweep(euLogs) // few strays
	l.strays = maxPage
	l.more = true
	sweep(euLogs)
	l.more, l.page = false, []Ref{{}}
	sweep(euLogs)
	l.page, l.failed = nil, true
	sweep(euLogs)
	l.failed = false
	l.known[euFile(day.Add(-3*time.Hour), "a")] = &track{state: offered}
	sweep(euLogs)
	l.known[euFile(day.Add(-3*time.Hour), "a")].state = parked
	l.known[euFile(day.Add(-time.Hour), "a")] = &track{state: offered}
	sweep(StartKey(euLogs, day.Add(-2*time.Hour)))
	l.advance(day, 0) // never back
	sweep(StartKey(euLogs, day.Add(-2*time.Hour)))
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(`{"version":2,"kind":"s3","bucket":"b","prefix":"p","start":"2026-11-20T09:00:00Z","lanes":{"AWSLogs/1/CloudTrail/us-east-1/":{"low":"2026/11/20/x","done":["y"]}}}`)
	f.Add(`{"version":2,"kind":"s3","bucket":"b","prefix":"p","lanes":{},"retry":[{"key":"` + euFile(day, "a") + `","size":1,"etag":"e","modified":"2026-11-20T09:00:00Z","verdict":"busy","first":"2026-11-20T09:00:00Z","next":"2026-11-20T09:00:00Z","tries":2}]}`)
	f.Add(`{"version":2,"kind":"s3","bucket":"b","prefix":"p","lanes":{},"retry":[{"key":"` + euFile(day, "a") + `","verdict":"gone","tries":-9}]} {}`)
	f.Add(`{"version":2,"kind":"s3","bucket":"b","prefix":"p","lanes":{"":{"low":""}}}`)
	f.Fuzz(func(t *testing.T, content string) {
		c, err := parseCheckpoint([]byte(content), "b", "p", day)
		if err != nil {
			return
		}
		for prefix, s := range c.Lanes {
			l := restore(prefix, s)
			l.begin(day)
			l.listed(&Page{}, day)
			l.advance(day, 0)
			l.sweep(0)
		}
		w, err := NewFollower(nil, FollowerConfig{Bucket: "b", Prefix: "p", Now: func() time.Time { return day }})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Retry {
			w.restoreRetry(r)
		}
		for _, o := range w.due(t.Context()) { // whatever a checkpoint says, it does not panic
			w.Retry(o, io.ErrUnexpectedEOF)
		}
		b, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseCheckpoint(b, "b", "p", day)
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

// A checkpoint of another version, or one ahead of the clock, is refused.
func TestCheckpointIsRefused(t *testing.T) {
	f := func(version int, low, want string) {
		t.Helper()
		content := fmt.Sprintf(`{"version":%d,"kind":"s3","bucket":"b","prefix":"p","lanes":{%q:{"low":%q}}}`, version, euLogs, low)
		_, err := parseCheckpoint([]byte(content), "b", "p", day)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("version %d with low %q: %v, want %q", version, low, err, want)
		}
	}
	name := func(after time.Duration) string { return strings.TrimPrefix(euFile(day.Add(after), "a"), euLogs) }
	const ahead, over, foreign = "correct the clock, or start over; docs/operations.md", "start over; docs/operations.md", "not a key of CloudTrail's"
	f(source.CheckpointVersion, "", "")
	f(source.CheckpointVersion, name(0), "")
	f(source.CheckpointVersion, name(48*time.Hour), "")
	f(source.CheckpointVersion, name(48*time.Hour+time.Minute), ahead)
	f(source.CheckpointVersion, "2026/11/22/", "")
	f(source.CheckpointVersion, "2026/11/23/", ahead)
	f(source.CheckpointVersion, "9999/12/31/x", ahead)
	f(source.CheckpointVersion, "2026/99/31/x", foreign)
	f(source.CheckpointVersion, "x", foreign)
	f(source.CheckpointVersion-1, name(0), over)
	f(source.CheckpointVersion+1, name(0), "a newer program made it")
}
