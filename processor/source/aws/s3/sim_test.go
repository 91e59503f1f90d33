package s3

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/awstest"
)

// world is a trail's bucket to which CloudTrail and others write, whose objects are
// sometimes unreadable, with a follower that is sometimes killed. A seed determines
// everything.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	bucket *awstest.Bucket
	client *Client
	now    time.Time
	ahead  time.Duration // of the collector's clock
	cfg    FollowerConfig
	f      *Follower

	flight []source.Object // being read
	real   []string        // every key that CloudTrail wrote
	strays []string
	denied map[string]bool
	read   map[string]bool // or a dead letter was written
	done   map[string]bool // reported done to this run of the follower, or in its checkpoint
	saved  map[string]bool // done at the last checkpoint
}

// folders are those of the trail: two accounts, two Regions, and network activity.
var folders = []string{
	"AWSLogs/o-abc/111122223333/CloudTrail/eu-central-1/", "AWSLogs/o-abc/111122223333/CloudTrail/us-gov-west-1/",
	"AWSLogs/o-abc/444455556666/CloudTrail/eu-central-1/", "AWSLogs/o-abc/444455556666/CloudTrail-NetworkActivity/eu-central-1/",
}

// keyIn returns the key of a file that CloudTrail delivers to a folder.
func keyIn(folder string, at time.Time, unique int) string {
	p := strings.Split(folder, "/")
	return fmt.Sprintf("%s%s/%s_%s_%s_%s_%06d.json.gz", folder, at.Format("2006/01/02"), p[2], p[3], p[4], at.Format("20060102T1504Z"), unique)
}

// stray returns a key that is not CloudTrail's: before, between or after its keys.
func (w *world) stray() string {
	folder := folders[w.rng.IntN(len(folders))]
	at := w.now.Add(time.Duration(w.rng.IntN(96)-48) * time.Hour)
	good := keyIn(folder, at, w.rng.IntN(1000))
	name := good[strings.LastIndexByte(good, '/')+1:]
	today := folder + at.Format("2006/01/02/")
	pick := []string{
		folder + "README.txt", folder + "!first", folder + "~last", folder + "backup/x.json.gz", folder + "backup/", folder + "2026", folder,
		today, today + "notes.txt", today + "a.json.gz", today + "z.json.gz", today + "sub/" + name, today + strings.TrimSuffix(name, ".gz"), today + name + ".bak",
		folder + "9999/12/31/" + name, folder + "0000/00/00/" + name, folder + "backup/" + at.Format("2006/01/02/") + name,
		strings.Replace(good, name, strings.Replace(name, "_CloudTrail", "_Config", 1), 1),
		keyIn(folder, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 1),
		keyIn(folder, w.now.AddDate(10, 0, 0), 1),
		"AWSLogs/README.txt", "AWSLogs/backup/x", "AWSLogs/o-abc/README", "zzz/" + good,
		strings.Replace(good, "/CloudTrail", "/CloudTrail-Insight", 1), strings.Replace(good, "/"+at.Format("2006/01/02/"), at.Format("/2006/01/"), 1),
	}
	return pick[w.rng.IntN(len(pick))]
}

func (w *world) start() {
	f, err := NewFollower(w.client, w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.f, w.done, w.flight = f, maps.Clone(w.saved), nil
}

func (w *world) put(key string) { w.bucket.Objects[key] = awstest.Object{At: w.now} }

func (w *world) step() {
	switch w.rng.IntN(12) {
	case 0, 1, 2: // CloudTrail delivers, or a copy arrives late
		key := keyIn(folders[w.rng.IntN(len(folders))], w.now.Add(-time.Duration(w.rng.IntN(90))*time.Minute), len(w.real))
		w.put(key)
		w.real = append(w.real, key)
	case 3, 4:
		key := w.stray()
		w.put(key)
		w.strays = append(w.strays, key)
	case 5:
		if len(w.strays) > 0 && w.rng.IntN(4) == 0 {
			delete(w.bucket.Objects, w.strays[w.rng.IntN(len(w.strays))])
		}
	case 6:
		if len(w.real) > 0 {
			w.denied[w.real[w.rng.IntN(len(w.real))]] = true
		}
	case 7:
		clear(w.denied)
	case 8:
		w.start() // killed
	case 9:
		if err := w.f.Close(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.saved = maps.Clone(w.done)
		if w.rng.IntN(2) == 0 {
			w.start()
		}
	case 10:
		w.ahead = time.Duration(w.rng.IntN(3)) * 400 * 24 * time.Hour / 2 // the clock jumps, and back
		w.poll()
		w.ahead = 0
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(40)) * time.Minute)
		if w.rng.IntN(6) == 0 {
			w.now = w.now.Add(3 * time.Hour)
		}
		w.poll()
	}
}

// poll polls once, and reads the offered objects.
func (w *world) poll() {
	objects, _ := w.f.Poll(w.t.Context()) // an error is of a listing that the test fails
	for _, o := range objects {
		key := strings.TrimPrefix(o.Name, "s3://trail/")
		if !slices.Contains(w.real, key) && w.ahead == 0 {
			w.t.Fatalf("%s was offered, which is not CloudTrail's", key)
		}
		if w.saved[key] {
			w.t.Fatalf("%s was offered again, though the checkpoint has it as done", key)
		}
		if w.denied[key] {
			if !w.f.Retry(o, source.Denied(errors.New("AccessDenied"))) {
				w.t.Fatalf("%s was given up because it may not be read now", key)
			}
			continue
		}
		w.flight = append(w.flight, o)
	}
	w.finish(w.rng.IntN(len(w.flight) + 1))
}

// finish ends the reading of n objects, in random order.
func (w *world) finish(n int) {
	w.rng.Shuffle(len(w.flight), func(i, j int) { w.flight[i], w.flight[j] = w.flight[j], w.flight[i] })
	for _, o := range w.flight[:n] {
		key := strings.TrimPrefix(o.Name, "s3://trail/")
		w.read[key], w.done[key] = true, true
		w.f.Done(o)
	}
	w.flight = w.flight[n:]
}

// Whatever keys the bucket has and whatever fails, every CloudTrail file is offered until
// it is read, nothing else is, and nothing in a checkpoint is offered again.
func TestFollowerSimulation(t *testing.T) {
	for seed := range uint64(40) {
		w := &world{
			t: t, rng: rand.New(rand.NewPCG(seed, 3)), bucket: &awstest.Bucket{Objects: map[string]awstest.Object{}}, now: day,
			denied: map[string]bool{}, read: map[string]bool{}, saved: map[string]bool{},
		}
		for _, folder := range folders { // the trail has been there for a while
			w.put(keyIn(folder, day.Add(-time.Hour), 0))
			w.real = append(w.real, keyIn(folder, day.Add(-time.Hour), 0))
		}
		failing, requests := false, 0
		w.bucket.Fails = func() bool { requests++; return failing && requests%2 == 0 }
		w.bucket.Page = []int{2, 5, 1000}[seed%3]
		w.client = NewClient(w.bucket.Serve(t))
		w.cfg = FollowerConfig{
			Bucket: "trail", Checkpoint: filepath.Join(t.TempDir(), "cp"), Overlap: DefaultOverlap, Start: day.Add(-3 * time.Hour),
			Now: func() time.Time { return w.now.Add(w.ahead) },
		}
		if seed%2 == 1 {
			w.cfg.Start = time.Time{}
		}
		w.start()
		for range 150 {
			failing = w.rng.IntN(4) == 0
			w.step()
		}
		failing = false
		clear(w.denied)
		for range 20 {
			w.now = w.now.Add(time.Hour)
			w.poll()
			w.finish(len(w.flight))
		}
		for _, key := range w.real {
			if !w.read[key] {
				t.Fatalf("seed %d: %s was never offered", seed, key)
			}
		}
		if got := w.f.Waiting(); got.Size != 0 {
			t.Fatalf("seed %d: %+v wait at the end", seed, got)
		}
	}
}

// strew adds one CloudTrail file, one of tomorrow, and thousands of strays.
func strew(b *awstest.Bucket, now time.Time) {
	b.Objects[euFile(day, "a")] = awstest.Object{At: now}
	for i := range 3000 {
		b.Objects[fmt.Sprintf("%s2026/11/20/zz\u202e%04d.json.gz", euLogs, i)] = awstest.Object{At: now}
		b.Objects[fmt.Sprintf("%s2027/01/01/%04d", euLogs, i)] = awstest.Object{At: now} // after everything that can exist now
	}
	b.Objects[euLogs+"2026/11/20/x/y/z"] = awstest.Object{At: now}
	b.Objects[strings.Replace(euFile(day, "b"), "/111122223333_", "/444455556666_", 1)] = awstest.Object{At: now}
	b.Objects[euFile(day.AddDate(0, 0, 1).Add(time.Hour), "c")] = awstest.Object{At: now}
}

// Strays are counted once by reason, and reported once per folder; a lane full of them
// costs no additional requests per round.
func TestStraysAreCounted(t *testing.T) {
	b := &awstest.Bucket{Objects: map[string]awstest.Object{}}
	now := day
	var lines []string
	f, err := NewFollower(NewClient(b.Serve(t)), FollowerConfig{
		Bucket: "trail", Overlap: DefaultOverlap, Now: func() time.Time { return now },
		Log: func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	strew(b, now)
	for i := range 6 {
		objects, err := f.Poll(t.Context())
		if err != nil || i == 0 && len(objects) != 1 || i > 0 && len(objects) != 0 {
			t.Fatalf("poll %d offers %v, %v", i, objects, err)
		}
		for _, o := range objects {
			f.Done(o)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	counts := f.Strays()
	// Of the keys of 2027 only those in a page with earlier keys are counted.
	if n := counts["not_cloudtrail"]; counts["future"] != 1 || counts["misplaced"] != 1 || n < 3001 || n > 4001 {
		t.Errorf("counted are %v", counts)
	}
	if len(lines) != 4 {
		t.Errorf("named are %q, want one key of each of four folders", lines)
	}
	for _, line := range lines {
		if strings.Contains(line, "\u202e") {
			t.Errorf("the line %q holds a control character", line)
		}
	}
	now = now.Add(29 * time.Hour)
	for range 3 {
		objects, err := f.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects { // the one that was in the future
			f.Done(o)
		}
	}
	before := b.Requests()
	if _, err := f.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.Strays()["not_cloudtrail"]; got > 4001 {
		t.Errorf("%d are counted", got)
	}
	if n := b.Requests() - before; n > 2 {
		t.Errorf("a round in which nothing is new takes %d requests", n)
	}
}

// A round longer than half an overlap starts over: every file is offered once, and old
// ones are forgotten.
func TestLongRounds(t *testing.T) {
	b := &awstest.Bucket{Objects: map[string]awstest.Object{}}
	now := day.Add(24 * time.Hour)
	const files = 3*maxBatch + 10
	for i := range files {
		b.Objects[euFile(day.Add(time.Duration(i)*time.Minute), "a")] = awstest.Object{At: day}
	}
	f, err := NewFollower(NewClient(b.Serve(t)), FollowerConfig{Bucket: "trail", Overlap: DefaultOverlap, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	offered := map[string]bool{}
	for range 8 {
		objects, err := f.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if offered[o.Name] {
				t.Fatalf("%s is offered twice", o.Name)
			}
			offered[o.Name] = true
			f.Done(o)
		}
		now = now.Add(90 * time.Minute)
		f.newest = now // as other folders show it
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(offered) != files || f.known != 0 {
		t.Errorf("%d of %d are offered, and %d in mind", len(offered), files, f.known)
	}
}
