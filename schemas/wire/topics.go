// Package wire is the contract of Keytrail's Kafka topics: their names, the keys, headers
// and values of their records, and how a call or an entity finds its partition. Plugins and
// stages take it from here.
//
// It has no client, network or clock.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"keytrail/schemas/otellog"
)

// Topics names the topics of one Keytrail installation.
type Topics struct {
	Raw        string // CloudTrail JSON in any envelope, from other shippers
	Events     string // one log record per Kafka record, keyed by the call's id
	Partials   string // frames of partial counts, one per commit and target partition
	Windows    string // window records, keyed by window id
	Anomalies  string // anomaly records, keyed by anomaly id
	Incidents  string // incident records, keyed by incident id
	Keys       string // ledgers of KMS keys, by their ARNs, compacted
	State      string // changelog of stage detect, compacted
	Dedup      string // ids that stage count has seen, by source partition
	DeadLetter string // input that could not be processed, with the reason
	Status     string // the state of each process, compacted
}

// DefaultPrefix is the prefix of the topic names.
const DefaultPrefix = "kms."

// NewTopics returns the topic names under prefix, such as "kms.events".
func NewTopics(prefix string) Topics {
	return Topics{
		Raw: prefix + "raw", Events: prefix + "events", Partials: prefix + "partials",
		Windows: prefix + "windows", Anomalies: prefix + "anomalies", Incidents: prefix + "incidents",
		Keys: prefix + "keys", State: prefix + "state", Dedup: prefix + "dedup",
		DeadLetter: prefix + "deadletter", Status: prefix + "status",
	}
}

// DefaultTopics returns the topic names under DefaultPrefix.
func DefaultTopics() Topics { return NewTopics(DefaultPrefix) }

// CallKey returns the Kafka record key of a normalized event: its call id. All copies of a
// call therefore meet in one partition, whichever producer sent them, if every producer uses
// Kafka's default partitioner (murmur2 of the key).
func CallKey(rec *otellog.Record) []byte { return []byte(rec.CallID) }

// CallID is a call's id in 128 bits.
type CallID [16]byte

// ParseCallID makes 128 bits of a call id: a UUID's own bits, or the first half of the
// SHA-256 of any other text. With 64 bits a false duplicate, which would silently drop a
// call, would become likely within a billion calls.
func ParseCallID(s string) CallID {
	hi, lo, ok := ParseUUID(s)
	if !ok && len(s) == uuidText && s[8] == '-' {
		hi, lo, ok = ParseUUID(strings.ToLower(s))
	}
	if !ok {
		return hashID(s)
	}
	var id CallID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id
}

func hashID(s string) CallID {
	sum := sha256.Sum256([]byte(s))
	return CallID(sum[:16])
}

// EntityHash is a hash of an entity's name that is the same in every process and version: it
// decides which partition of the partials owns the entity. It is FNV-1a over eight bytes at
// a time, finished as in SplitMix64.
func EntityHash(name string) uint64 {
	h := uint64(14695981039346656037)
	b := []byte(name)
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 1099511628211
		h ^= h >> 29
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// Owner returns the partition, of n, that owns the entity.
func Owner(entity string, n int) int32 { return int32(EntityHash(entity) % uint64(n)) }

// HeaderEvent is the Kafka header with a record's event name, so that a consumer can choose
// without decoding the value.
const HeaderEvent = "event"

// HeaderRules is the Kafka header of a frame with the digest of the rules by which its calls
// were judged, a space, and the name of the process that made it. Frames of older versions
// have none.
const HeaderRules = "rules"

// The default bounds of the output of one message of the raw topic: log records and dead
// letters, and their bytes. A compressed file of CloudTrail that fits into Kafka's 1 MB
// becomes some 20,000 log records of 3 kB, 60 MB.
const (
	DefaultMessageRecords = 50_000
	DefaultMessageBytes   = 128 << 20
)

// MaxValueBytes bounds the values of Kafka records that Keytrail writes. By default Kafka
// refuses a batch above 1 MiB (message.max.bytes), however often it is sent; 48 KiB are left
// for key, headers and framing.
const MaxValueBytes = 1_000_000
