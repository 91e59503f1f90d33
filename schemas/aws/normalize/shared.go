package normalize

import (
	"encoding/binary"
	"math/bits"

	"keytrail/schemas/aws/arn"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/view"
)

// Most of a record's attributes stand in thousands of others: who called, what
// kind of call it is, which connection, which KMS key. Runs of them that depend on
// a few values are kept as they are encoded, and copied as a whole for the next
// event with the same values. The functions of this file do what those of the
// same names in other files do (knownCaller is caller), except for that.

// direct is what a Normalizer keeps for records that are only encoded.
type direct struct {
	enc                                    otellog.Encoder
	callers                                [cloudtrail.CallerPlaces]known
	operations, origins, connections, keys [places]shared

	place           []byte // account and region of the last record, which these are
	account, region string
}

// moves reports whether an event happened elsewhere than the one before, and keeps
// where it did.
func (d *direct) moves(account, region string) bool {
	if len(d.place) > 0 && account == d.account && region == d.region {
		return false
	}
	d.account, d.region = account, region
	d.place = own(own(append(d.place[:0], ' '), &d.account), &d.region)
	return true
}

// known is a caller.
type known struct {
	number    uint64 // cloudtrail.Event.Caller
	region    string // of the event: the principal of a root user depends on it
	principal string
	run       otellog.Block
	text      []byte // holds the strings above
}

// places is how many runs of a sort are kept, each in the place that a hash of
// its values chooses: 1,024 of about 1 kB for each of four sorts, 4 MB when all are
// in use. A published trail uses a few dozen.
const places = 1024

// texts is the most texts that a run is made of.
const texts = 7

// values are what a run is made of: small numbers in one, and texts.
type values struct {
	number int
	text   [texts]string
}

// shared is a run of attributes and what it was made of. What is looked at first
// stands first: together it is one line of the cache, and there are more of these
// than the cache nearest to the processor holds.
type shared struct {
	run   otellog.Block
	kept  bool      // there is one
	class kms.Class // of an operation
	of    values
	owner string // the account of a key
	text  []byte // holds the strings of the values
}

// is reports whether s is the run of the given values, of n texts.
func (s *shared) is(of *values, n int) bool {
	if !s.kept || s.of.number != of.number {
		return false
	}
	for i := range n {
		if s.of.text[i] != of.text[i] {
			return false
		}
	}
	return true
}

// keep puts the run that begins at from into its place.
func (s *shared) keep(of *values, rec *otellog.Record, from otellog.Run) {
	if s.text == nil {
		s.text = make([]byte, 0, 256)
	}
	s.kept, s.of, s.text = true, *of, s.text[:0]
	for i := range s.of.text {
		s.text = own(s.text, &s.of.text[i])
	}
	rec.Keep(&s.run, from)
}

// place returns where the run whose values have the given hash is kept.
func place(table *[places]shared, hash uint64) *shared { return &table[hash%places] }

// own appends a string to memory and makes it a view of that.
func own(memory []byte, s *string) []byte {
	from := len(memory)
	memory = append(memory, *s...)
	*s = view.String(memory[from:])
	return memory
}

// mix adds a string's length and its first and last bytes to a hash.
func mix(hash uint64, s string) uint64 {
	const odd = 0x9e3779b97f4a7c15
	word := uint64(0)
	if len(s) >= 8 {
		b := []byte(s) // not copied: it does not leave this function
		word = binary.LittleEndian.Uint64(b) + 31*binary.LittleEndian.Uint64(b[len(b)-8:])
	} else {
		for i := range len(s) {
			word = word<<8 + uint64(s[i])
		}
	}
	// The low bits of a product do not depend on the factors' high ones: mix both halves.
	high, low := bits.Mul64(hash+uint64(len(s))+word, odd)
	return high ^ low
}

func (n *Normalizer) knownOperation(ev *cloudtrail.Event, o kms.Outcome, rec *otellog.Record) kms.Class {
	if n.direct == nil {
		class := ClassOf(ev.Source, ev.Name)
		n.operation(ev, class, o, rec)
		return class
	}
	of := values{int(ev.ReadOnly) | int(ev.Management)<<2 | int(o)<<4 | int(copyOf(ev))<<6,
		[texts]string{ev.Name, ev.Version, ev.Type, ev.Category, ev.APIVersion, ev.Source, algorithm(ev)}}
	// Of the other texts the length tells enough: they may be missing.
	hash := uint64(of.number + len(ev.Type)<<16 + len(ev.Category)<<24 + len(ev.APIVersion)<<32 + len(of.text[6])<<40)
	s := place(&n.direct.operations, mix(mix(hash, ev.Name), ev.Version))
	if s.is(&of, texts) {
		rec.Block(&s.run)
		return s.class
	}
	from := rec.Run()
	s.class = ClassOf(ev.Source, ev.Name)
	n.operation(ev, s.class, o, rec)
	s.keep(&of, rec, from)
	return s.class
}

func (n *Normalizer) knownOrigin(ev *cloudtrail.Event, rec *otellog.Record) {
	if n.direct == nil {
		origin(ev, rec)
		return
	}
	of := values{text: [texts]string{ev.SourceIP, ev.UserAgent}}
	s := place(&n.direct.origins, mix(mix(0, ev.UserAgent), ev.SourceIP))
	if s.is(&of, 2) {
		rec.Block(&s.run)
		return
	}
	from := rec.Run()
	origin(ev, rec)
	s.keep(&of, rec, from)
}

func (n *Normalizer) knownConnection(ev *cloudtrail.Event, rec *otellog.Record) {
	t := &ev.TLS
	if n.direct == nil || t.Host == "" {
		connection(t, rec)
		return
	}
	of := values{text: [texts]string{t.Host, t.Version, t.Cipher, t.KeyExchange}}
	s := place(&n.direct.connections, mix(mix(uint64(len(t.KeyExchange)), t.Host), t.Cipher))
	if s.is(&of, 4) {
		rec.Block(&s.run)
		return
	}
	from := rec.Run()
	connection(t, rec)
	s.keep(&of, rec, from)
}

func (n *Normalizer) knownCaller(ev *cloudtrail.Event, rec *otellog.Record) string {
	if n.direct == nil || ev.Caller == 0 {
		return n.caller(ev, rec)
	}
	k := &n.direct.callers[ev.Caller%cloudtrail.CallerPlaces]
	if k.number == ev.Caller && k.region == ev.Region {
		rec.Block(&k.run)
		return k.principal
	}
	from := rec.Run()
	principal := n.caller(ev, rec)
	if k.text == nil {
		k.text = make([]byte, 0, 256)
	}
	k.number, k.principal, k.region = ev.Caller, principal, ev.Region
	k.text = own(own(k.text[:0], &k.principal), &k.region)
	rec.Keep(&k.run, from)
	return principal
}

// knownKey writes the key of an event that lists a known one and names no other,
// which is almost every use of a key. It reports whether it did.
func (n *Normalizer) knownKey(ev *cloudtrail.Event, class kms.Class, rec *otellog.Record) bool {
	q := &ev.Request
	if n.direct == nil || len(ev.Resources) != 1 || !plain(ev, class) || q.AliasName != "" || q.SourceKeyID != "" ||
		isAlias(q.KeyID) {
		return false
	}
	of := values{text: [texts]string{ev.Resources[0].ARN}}
	s := place(&n.direct.keys, mix(0, of.text[0]))
	if of.text[0] == "" || !s.is(&of, 1) {
		return false
	}
	n.keys[0], n.owner = s.of.text[0], s.owner
	rec.Block(&s.run)
	return true
}

// writeARN is arn, and keeps what it writes for knownKey.
func (n *Normalizer) writeARN(ev *cloudtrail.Event, class kms.Class, o kms.Outcome, rec *otellog.Record) {
	if n.direct == nil || !plain(ev, class) || !isKey(n.keys[0]) || isAlias(n.keys[0]) {
		n.arn(ev, o, rec)
		return
	}
	from := rec.Run()
	n.arn(ev, o, rec)
	s := place(&n.direct.keys, mix(0, n.keys[0]))
	s.keep(&values{text: [texts]string{n.keys[0]}}, rec, from)
	s.owner = arn.Account(s.of.text[0])
}

// plain tells that a key's ARN says all that an event says of the key itself.
func plain(ev *cloudtrail.Event, class kms.Class) bool {
	return class != kms.ClassReplicate && class != kms.ClassReencrypt && ev.Source == serviceKMS &&
		ev.Request.MultiRegion == cloudtrail.Missing && ev.Response.PrimaryARN == "" && ev.Response.ReplicaARN == ""
}
