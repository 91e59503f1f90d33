package s3

import (
	"hash/maphash"
	"maps"
	"path"
	"time"

	"keytrail/schemas/aws/notification"
)

const (
	// maxStrays bounds the keys that are remembered as counted: 100,000 hashes with
	// their rounds take 4 MB. Further ones are passed over without being counted.
	maxStrays = 100_000
	// maxNamed bounds the folders whose strays were named in the log.
	maxNamed = 1000
	// maxFuture is how far in the future a file may have been delivered: the clock of
	// this machine may be behind.
	maxFuture = 24 * time.Hour
)

// ReasonFuture is the reason of a key that has CloudTrail's form and a time in the
// future. The others are those of notification.KeyFault.
const ReasonFuture = "future"

// Strays counts the keys that are not CloudTrail's. They are never offered and move
// nothing. Each folder that has some is named once. It is not safe for concurrent use.
type Strays struct {
	log    func(format string, args ...any)
	named  map[string]bool
	counts map[string]int64 // by reason
	// Of the keys that a listing meets again and again:
	seed  maphash.Seed
	seen  map[uint64]uint64 // hashes of keys, and the round that saw them last
	round uint64
}

// NewStrays returns Strays that name folders through log.
func NewStrays(log func(format string, args ...any)) *Strays {
	return &Strays{log: log, seed: maphash.MakeSeed(), seen: map[uint64]uint64{}, named: map[string]bool{}, counts: map[string]int64{}}
}

// Counts returns how many keys were passed over, by reason.
func (s *Strays) Counts() map[string]int64 { return maps.Clone(s.counts) }

// Add counts a key that something named, for a reason of a bounded set; detail is for a
// person.
func (s *Strays) Add(bucket, key, reason, detail string) {
	s.counts[reason]++
	folder := bucket + "/" + path.Dir(key)
	if s.named[folder] || len(s.named) >= maxNamed {
		return
	}
	s.named[folder] = true
	s.log("%q is passed over: %s; so is all else of this kind in its folder, counted as %s", Scheme+bucket+"/"+key, detail, reason)
	if len(s.named) == maxNamed {
		s.log("more than %d folders hold keys that are not CloudTrail's; further ones are not named", maxNamed)
	}
}

// begin starts a round of listing. Keys that two rounds did not list are forgotten.
func (s *Strays) begin() {
	s.round++
	for h, round := range s.seen {
		if s.round-round > 2 {
			delete(s.seen, h)
		}
	}
}

// listed counts a key that was listed, once for as long as rounds list it.
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

// stray judges a key that was listed in a lane. reason is "" for one of the lane's own.
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
