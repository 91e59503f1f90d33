package s3

import (
	"hash/maphash"
	"maps"
	"path"
	"time"

	"keytrail/schemas/aws/notification"
)

const (
	// maxStrays bounds the keys remembered as counted: 100,000 hashes with their rounds
	// take 4 MB. Further ones are skipped without being counted.
	maxStrays = 100_000
	// maxNamed bounds the folders whose strays are reported in the log.
	maxNamed = 1000
	// maxFuture is how far in the future a delivery may be: this machine's clock may be
	// slow.
	maxFuture = 24 * time.Hour
)

// ReasonFuture is the reason of a key in CloudTrail's form with a time in the future. The
// other reasons are those of notification.KeyFault.
const ReasonFuture = "future"

// Strays counts the keys that are not CloudTrail's. They are never offered and move
// nothing. Each folder with strays is reported once. It is not safe for concurrent use.
type Strays struct {
	log    func(format string, args ...any)
	named  map[string]bool
	counts map[string]int64 // by reason
	// For keys that listings meet repeatedly:
	seed  maphash.Seed
	seen  map[uint64]uint64 // hashes of keys, with the last round that saw them
	round uint64
}

// NewStrays returns Strays that report folders to log.
func NewStrays(log func(format string, args ...any)) *Strays {
	return &Strays{log: log, seed: maphash.MakeSeed(), seen: map[uint64]uint64{}, named: map[string]bool{},
		counts: map[string]int64{}}
}

// Counts returns the number of skipped keys by reason.
func (s *Strays) Counts() map[string]int64 { return maps.Clone(s.counts) }

// Add counts a key from a message, with a reason of a bounded set; detail is for a
// person.
func (s *Strays) Add(bucket, key, reason, detail string) {
	s.counts[reason]++
	folder := bucket + "/" + path.Dir(key)
	if s.named[folder] || len(s.named) >= maxNamed {
		return
	}
	s.named[folder] = true
	s.log("skipping %q: %s; the same applies to others of this kind in its folder, counted as %s",
		Scheme+bucket+"/"+key, detail, reason)
	if len(s.named) == maxNamed {
		s.log("more than %d folders have keys that are not CloudTrail's; further ones are not reported", maxNamed)
	}
}

// begin starts a round of listing. It forgets keys that two rounds did not list.
func (s *Strays) begin() {
	s.round++
	for h, round := range s.seen {
		if s.round-round > 2 {
			delete(s.seen, h)
		}
	}
}

// listed counts a listed key, once as long as rounds list it.
func (s *Strays) listed(bucket, key, reason, detail string) {
	h := maphash.String(s.seed, key)
	_, known := s.seen[h]
	if !known && len(s.seen) >= maxStrays {
		return
	}
	if s.seen[h] = s.round; !known {
		s.Add(bucket, key, reason, detail)
	}
}

// stray classifies a key listed in a lane. reason is "" for one of the lane's own.
func (l *lane) stray(key string, now time.Time) (f notification.File, reason, detail string) {
	f, fault := notification.ParseKey(key)
	if fault == "" && (f.Account != l.account || f.Region != l.region || f.Kind != l.kind) {
		fault = notification.KeyMisplaced
	}
	switch {
	case fault != "":
		return f, string(fault), fault.Detail()
	case f.Delivered().After(now.Add(maxFuture)):
		return f, ReasonFuture, "its time is in the future; it waits until then"
	}
	return f, "", ""
}
