// Package corpus makes up the CloudTrail records over which speed is measured:
// as varied as those of real trails, and the same on every machine.
//
// It is for benchmarks and tests only. It stands apart from processor/generate,
// which makes trails with a story in them: what is measured here must not change
// when that story does, and packages below schemas may not import processor. It
// is not internal, because the module in bench/ reads it too.
//
// The shapes, the share of each operation and each kind of caller, and the sizes
// (1.4 kB in the mean) are those of published trails and of the KMS developer
// guide, event versions 1.02 to 1.11. The records differ in their values, in the
// order of their request parameters, and in which fields stand at the top: more
// than thirty sequences of names, none of which most records share.
package corpus

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	// Size is the number of records of the whole corpus, 288 MB of JSON.
	Size = 200_000
	// FileRecords is the number of records in each file.
	FileRecords = 500
	// Files is the number of files that hold the whole corpus. Files with higher
	// numbers can be had as well; they go on in the same way.
	Files = Size / FileRecords
)

// seed is the corpus's identity: with another one all figures are others.
const seed = 20260101

// File makes file number n (from 0): its name as CloudTrail would give it, its
// JSON text {"Records":[...]}, and its records, which are views into the text.
// The caller owns them. The records are of one account and region, and each is
// valid JSON without white space between its tokens.
func File(n int) (name string, text []byte, records [][]byte) {
	f := newFile(n)
	text = append(make([]byte, 0, FileRecords*1600), `{"Records":[`...)
	var ends [FileRecords]int
	for i := range ends {
		if i > 0 {
			text = append(text, ',')
		}
		text = f.record(text)
		ends[i] = len(text)
	}
	text = append(text, "]}"...)
	from := len(`{"Records":[`)
	for _, end := range ends {
		records = append(records, text[from:end:end])
		from = end + 1
	}
	name = fmt.Sprintf("AWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%016x.json.gz", f.account, f.region,
		f.begin.Format("2006/01/02"), f.account, f.region, f.begin.Format("20060102T1504Z"), f.r.Uint64())
	return name, text, records
}

// Records yields the first n records of the corpus. The caller owns them; those
// of one file share its memory.
func Records(n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; n > 0; i++ {
			_, _, records := File(i)
			for _, r := range records[:min(n, len(records))] {
				if !yield(r) {
					return
				}
			}
			n -= len(records)
		}
	}
}

// Gzip returns text as one gzip member of level 6, which is what zlib does when
// it is told nothing.
func Gzip(text []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, 6)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil { // the level is a valid one, and a Buffer takes everything
		panic(err)
	}
	return b.Bytes()
}

// file is one account and region while its records are made. Templates refer to
// vars by their letters; see fill.
type file struct {
	r               *rand.Rand
	account, region string
	partition       string
	begin           time.Time
	version         string // of almost all records: CloudTrail changes it for a service at once
	keys            []string
	callers         []caller
	caller          *caller // the record's
	vars            ['z' + 1]string
	members         []string // the record's members, as templates
}

// caller is a role or a user of the account, with the session it has just now. It
// calls again and again in the same way: of the published trail's 2,900 records
// (the Invictus dataset), 89 in a hundred have a userIdentity that stood in their
// file before.
type caller struct {
	kind *identity

	name, id, session, accessKey, created, agent, address string
}

func newFile(n int) *file {
	f := &file{
		r:       rand.New(rand.NewPCG(seed, uint64(n))),
		account: fmt.Sprintf("%012d", 100100200300+uint64(n%37)*2468013579),
		region:  regions[n/37%len(regions)],
		begin:   time.Date(2026, 1, 1, 0, 5*n, 0, 0, time.UTC),
	}
	switch f.partition = "aws"; {
	case strings.HasPrefix(f.region, "cn-"):
		f.partition = "aws-cn"
	case strings.HasPrefix(f.region, "us-gov-"):
		f.partition = "aws-us-gov"
	}
	f.version = pick(f.r, versions, func(v *version) int { return v.share }).name
	// An account's properties stay from file to file; only its sessions change.
	home := rand.New(rand.NewPCG(seed, uint64(n%(37*len(regions)))<<32))
	for i := range 24 {
		id := uuid(home.Uint64(), home.Uint64())
		if i%8 == 0 {
			id = "mrk-" + strings.ReplaceAll(id, "-", "")
		}
		f.keys = append(f.keys, id)
	}
	for range 30 {
		c := caller{
			kind: pick(home, identities, func(i *identity) int { return i.share }),
			name: one(home, teams) + "-" + one(home, parts) + one(home, roles), id: upper(home, 17),
			agent: one(home, agents), address: fmt.Sprintf("203.0.113.%d", home.IntN(250)),
			accessKey: upper(f.r, 16), created: f.begin.Add(-time.Duration(f.r.IntN(21000)) * time.Second).Format(time.RFC3339),
		}
		c.session = string(f.fill(nil, one(home, sessions)))
		f.callers = append(f.callers, c)
	}
	return f
}

// record appends the next record.
func (f *file) record(dst []byte) []byte {
	op, who := pick(f.r, operations, func(o *operation) int { return o.share }), &f.callers[f.r.IntN(len(f.callers))]
	f.vars = ['z' + 1]string{
		'A': f.account, 'R': f.region, 'P': f.partition,
		'k': f.keys[f.r.IntN(len(f.keys))], 'j': f.keys[f.r.IntN(len(f.keys))],
		'n': who.name, 'i': who.id, 's': who.session, 'a': who.accessKey, 'c': who.created, 'g': who.agent, 'h': who.address,
		'o': op.name, 't': f.begin.Add(time.Duration(f.r.IntN(300)) * time.Second).Format(time.RFC3339),
		'v': pick(f.r, versions, func(v *version) int { return v.share }).name,
	}
	if f.chance(95) {
		f.vars['v'] = f.version
	}
	f.members, f.caller = f.members[:0], who
	f.compose(op)
	dst = append(dst, '{')
	for i, m := range f.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.fill(dst, m)
	}
	return append(dst, '}')
}

// fill appends a template. "$" and a letter stand for a var; where there is none,
// for a new value: U a UUID, D 64 hexadecimal digits, H 16 of them, N a number,
// W a word, X an encryption context, E a host name, K the key's ARN.
func (f *file) fill(dst []byte, template string) []byte {
	for {
		text, rest, more := strings.Cut(template, "$")
		dst = append(dst, text...)
		if !more {
			return dst
		}
		switch letter := rest[0]; letter {
		case 'U':
			dst = append(dst, uuid(f.r.Uint64(), f.r.Uint64())...)
		case 'D':
			dst = fmt.Appendf(dst, "%016x%016x%016x%016x", f.r.Uint64(), f.r.Uint64(), f.r.Uint64(), f.r.Uint64())
		case 'H':
			dst = fmt.Appendf(dst, "%016x", f.r.Uint64())
		case 'N':
			dst = fmt.Appendf(dst, "%d", f.r.IntN(100_000))
		case 'W':
			dst = append(dst, one(f.r, words)...)
		case 'X':
			dst = f.fill(dst, pick(f.r, contexts, func(c *context) int { return c.share }).text)
		case 'E':
			dst = f.fill(dst, "kms.$R.amazonaws.com")
		case 'K':
			dst = f.fill(dst, "arn:$P:kms:$R:$A:key/$k")
		default:
			dst = append(dst, f.vars[letter]...)
		}
		template = rest[1:]
	}
}

// uuid is the text of a random UUID (RFC 9562, version 4) with these bits.
func uuid(a, b uint64) string {
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&(1<<48-1))
}

// chance is true in so many of a hundred cases.
func (f *file) chance(percent int) bool { return f.r.IntN(100) < percent }

func one(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// pick draws an entry of list by its share.
func pick[T any](r *rand.Rand, list []T, share func(*T) int) *T {
	sum := 0
	for i := range list {
		sum += share(&list[i])
	}
	n := r.IntN(sum)
	for i := range list {
		if n -= share(&list[i]); n < 0 {
			return &list[i]
		}
	}
	return &list[0]
}

// upper returns n of the letters and digits that AWS makes ids of.
func upper(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[r.IntN(32)]
	}
	return string(b)
}
