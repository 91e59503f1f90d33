package normalize

import (
	"encoding/binary"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
)

// Most of a record's attributes stand in thousands of others: who called, what
// kind of call it is, which connection, which KMS key. Runs of them that depend on
// a few values are kept as they are encoded, and copied as a whole for the next
// event with the same values. The functions of this file do what those of the
// same names in other files do (knownCaller is caller), but for that.

// direct is what a Normalizer keeps for records that are only encoded.
type direct struct {
	enc                           otellog.Encoder
	callers                       [cloudtrail.CallerPlaces]known
	operations, connections, keys [places]shared
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
// its values chooses: 256 of about 1 kB for each sort.
const places = 256

// values are what a run is made of.
type values struct {
	text  [6]string
	bools [2]cloudtrail.Bool
}

// shared is a run of attributes and what it was made of.
type shared struct {
	of    values
	seen  uint64 // the hash of the values that came here last and were not kept
	class Class  // of an operation
	owner string // the account of a key
	run   otellog.Block
	text  []byte // holds the strings above
}

// find returns the place of a run whose values have the given hash, and whether
// it is there.
func find(table *[places]shared, hash uint64, of *values) (*shared, bool) {
	s := &table[hash>>56%places]
	return s, s.of == *of
}

// keep puts a run into its place when its values come the second time in a row:
// values that do not come back are not worth the copy.
func (s *shared) keep(hash uint64, of *values, rec *otellog.Record, from otellog.Run) {
	if s.seen != hash {
		s.seen = hash
		return
	}
	if s.text == nil {
		s.text = make([]byte, 0, 256)
	}
	s.of, s.text = *of, s.text[:0]
	for i := range s.of.text {
		s.text = own(s.text, &s.of.text[i])
	}
	rec.Keep(&s.run, from)
}

// own appends a string to memory and makes it a view of that.
func own(memory []byte, s *string) []byte {
	from := len(memory)
	memory = append(memory, *s...)
	*s = view(memory[from:])
	return memory
}

// mix adds a string's length and its first and last bytes to a hash.
func mix(hash uint64, s string) uint64 {
	const odd = 0x9e3779b97f4a7c15
	hash += uint64(len(s))
	if len(s) >= 8 {
		b := []byte(s) // not copied: it does not leave this function
		hash += binary.LittleEndian.Uint64(b) + 31*binary.LittleEndian.Uint64(b[len(b)-8:])
	} else {
		for i := range len(s) {
			hash = hash<<8 + uint64(s[i])
		}
	}
	return hash * odd
}

func (n *Normalizer) knownOperation(ev *cloudtrail.Event, rec *otellog.Record) Class {
	if n.direct == nil {
		class := ClassOf(ev.Source, ev.Name)
		n.operation(ev, class, rec)
		return class
	}
	of := values{[6]string{ev.Name, ev.Version, ev.Type, ev.Category, ev.APIVersion, ev.Source}, [2]cloudtrail.Bool{ev.ReadOnly, ev.Management}}
	hash := mix(mix(uint64(ev.ReadOnly)<<2+uint64(ev.Management), ev.Name), ev.Version)
	s, ok := find(&n.direct.operations, hash, &of)
	if ok {
		rec.Block(&s.run)
		return s.class
	}
	class, from := ClassOf(ev.Source, ev.Name), rec.Run()
	n.operation(ev, class, rec)
	s.keep(hash, &of, rec, from)
	s.class = ClassOf(s.of.text[5], s.of.text[0])
	return class
}

func (n *Normalizer) knownConnection(ev *cloudtrail.Event, rec *otellog.Record) {
	t := &ev.TLS
	if n.direct == nil || *t == (cloudtrail.TLS{}) {
		connection(t, rec)
		return
	}
	of := values{text: [6]string{t.Host, t.Version, t.Cipher, t.KeyExchange}}
	hash := mix(mix(uint64(len(t.KeyExchange)), t.Host), t.Cipher)
	s, ok := find(&n.direct.connections, hash, &of)
	if ok {
		rec.Block(&s.run)
		return
	}
	from := rec.Run()
	connection(t, rec)
	s.keep(hash, &of, rec, from)
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
// which is almost every use of a key. It tells whether it did.
func (n *Normalizer) knownKey(ev *cloudtrail.Event, class Class, rec *otellog.Record) bool {
	q := &ev.Request
	if n.direct == nil || len(ev.Resources) != 1 || !plain(ev, class) || q.AliasName != "" || q.SourceKeyID != "" || isAlias(q.KeyID) {
		return false
	}
	of := values{text: [6]string{ev.Resources[0].ARN}}
	s, ok := find(&n.direct.keys, mix(0, of.text[0]), &of)
	if !ok || of.text[0] == "" {
		return false
	}
	n.keys[0], n.owner = s.of.text[0], s.owner
	rec.Block(&s.run)
	return true
}

// writeARN is arn, and keeps what it writes for knownKey.
func (n *Normalizer) writeARN(ev *cloudtrail.Event, class Class, o Outcome, rec *otellog.Record) {
	if n.direct == nil || !plain(ev, class) || !isKey(n.keys[0]) {
		n.arn(ev, o, rec)
		return
	}
	of := values{text: [6]string{n.keys[0]}}
	hash, from := mix(0, n.keys[0]), rec.Run()
	n.arn(ev, o, rec)
	s, _ := find(&n.direct.keys, hash, &of)
	s.keep(hash, &of, rec, from)
	s.owner = ARNAccount(s.of.text[0])
}

// plain tells that a key's ARN says all that an event says of the key itself.
func plain(ev *cloudtrail.Event, class Class) bool {
	return class != ClassReplicate && class != ClassReencrypt && ev.Source == serviceKMS &&
		ev.Request.MultiRegion == cloudtrail.Missing && ev.Response.PrimaryARN == "" && ev.Response.ReplicaARN == ""
}
