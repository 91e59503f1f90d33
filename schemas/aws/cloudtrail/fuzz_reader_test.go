package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"keytrail/schemas/decoding"
)

// chunked gives at most the next size of sizes, over and over; 0 gives nothing
// once.
type chunked struct {
	r     io.Reader
	sizes []byte
	next  int
}

func (c *chunked) Read(p []byte) (int, error) {
	n := int(c.sizes[c.next%len(c.sizes)])
	c.next++
	return c.r.Read(p[:min(n, len(p))])
}

// inflate returns what of packed can be inflated, or packed itself, as UTF-8.
func inflate(packed []byte, most int64) []byte {
	for range maxZips {
		if !bytes.HasPrefix(packed, []byte{0x1f, 0x8b}) {
			break
		}
		zip, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil
		}
		packed, _ = io.ReadAll(io.LimitReader(zip, most+chunk)) // up to the damage
	}
	if order, wide := utf16Order(packed); wide {
		packed, _ = unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(packed)
	}
	return packed[:min(int64(len(packed)), most)]
}

// seedsOfReader are objects in every envelope, some of them damaged.
func seedsOfReader(t testing.TB) [][]byte {
	a, b := short(1), short(2)
	texts := []string{
		"", a, list(a, b), list(a, b[:200], b), a + "\n" + b, a + b + "\n" + a[:99] + "\n" + b, "[" + a + "," + b + "]", "[[" + a + "]]",
		`{"x":1,"Records":[` + a + `,{"eventVersion":1,}],"y":2}`, `{"Records":[` + a + `],"Records":[` + b + `]}`, wrapped(2, list(a, b)), wrapped(6, a),
		`{"Events":[{"EventId":"1","Resources":[{"EventId":"2"}],"CloudTrailEvent":` + quoted(a) + `}],"NextToken":"n"}`,
		`{"version":"0","detail-type":"KMS CMK Rotation","source":"aws.kms","resources":["a"],"detail":{}}`,
		`{"logEvents":[{"message":` + quoted(a) + `},{"message":"{"}]}`, `{"digestS3Bucket":"b"}`, "\xef\xbb\xbf" + a, pretty(list(a, b)), `{"Records":[`, `{"Records":[` + a + `]`,
		list(a, "\x00\x00", "tru", "}", "]", `"x"`, b), `{"eventName":"x"},"eventTime":"y"}`, `"eventVersion":"1"}` + a, list(deep(200), wide(70, ""), a),
	}
	var seeds [][]byte
	for _, text := range texts {
		seeds = append(seeds, []byte(text), []byte(zip(t, text)))
	}
	for _, folder := range []string{"testdata/shapes", "testdata/named"} {
		files, err := filepath.Glob(folder + "/*")
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for i, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if seeds = append(seeds, text); i == 0 {
				seeds = append(seeds, []byte(wide16(binary.LittleEndian, string(text))), []byte(zip(t, zip(t, string(text)))))
			}
		}
	}
	return append(seeds, []byte(zip(t, a)[:100]), []byte(zip(t, a)+zip(t, b)), []byte("\x1f\x8b"))
}

// FuzzReader: whatever the bytes and in whatever pieces they come, the Reader
// gives the same events and bad records and comes to an end, within its bounds.
func FuzzReader(f *testing.F) {
	for i, seed := range seedsOfReader(f) {
		f.Add(seed, []byte{byte(i), 0, 7}, byte(i))
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte, bounds byte) {
		lim := decoding.Limits{InflatedBytes: 1 << 20}
		if bounds&1 != 0 {
			lim.RecordBytes = 64 << (bounds & 6)
		}
		if bounds&8 != 0 {
			lim.Records, lim.Depth = 3, 4
		}
		if bounds&16 != 0 {
			lim.InflatedBytes = 4 << 10
		}
		plain := inflate(data, lim.InflatedBytes)
		r := NewReader(bytes.NewReader(data), "object", lim)
		all := readAll(t, r, len(plain)+2)
		if cap(r.in.buf) > 2*max(chunk, r.dec.lim.RecordBytes)+chunk {
			t.Errorf("the buffer has %d bytes", cap(r.in.buf))
		}
		for i, o := range all {
			o.check(t, plain)
			if i > 0 && (o.index < all[i-1].index || o.offset < all[i-1].offset) {
				t.Errorf("outcome %d at index %d, offset %d comes after index %d, offset %d", i, o.index, o.offset, all[i-1].index, all[i-1].offset)
			}
		}
		again := func(name string, in io.Reader) {
			got := readAll(t, NewReader(in, "object", lim), len(plain)+2)
			if !slices.EqualFunc(got, all, sameButDetail) {
				t.Errorf("%s: other outcomes:\n%+v\nwant\n%+v", name, got, all)
			}
		}
		again("byte by byte", iotest.OneByteReader(bytes.NewReader(data)))
		again("end with the data", iotest.DataErrReader(bytes.NewReader(data)))
		if strings.Trim(string(sizes), "\x00") != "" && !bytes.Contains(sizes, make([]byte, maxEmptyReads/2)) {
			again("in pieces", &chunked{r: bytes.NewReader(data), sizes: sizes})
		}
	})
}

// sameButDetail compares outcomes. The detail of an object that is too big says
// how much of it had been read, which is more when it comes in larger pieces.
func sameButDetail(a, b outcome) bool {
	if a.reason == decoding.ReasonInflatedSize {
		a.detail = b.detail
	}
	return a == b
}

// check holds an outcome to what is always true of it.
func (o outcome) check(t *testing.T, plain []byte) {
	t.Helper()
	if o.offset < 0 || o.offset > int64(len(plain)) || o.index < 0 {
		t.Errorf("index %d, offset %d of %d bytes", o.index, o.offset, len(plain))
		return
	}
	if o.reason == "" && (!json.Valid([]byte(o.raw)) || !utf8.ValidString(o.raw) || o.raw[0] != '{') {
		t.Errorf("an event that is no JSON object: %q", o.raw)
	}
	// An event that stands in the input itself stands at its offset; one from a
	// text inside an envelope has the envelope's offset, or that of the member
	// behind a list that holds it, or of its row.
	at := plain[o.offset:]
	if !bytes.HasPrefix(at, []byte(o.raw)) && len(at) == 0 {
		t.Errorf("%q does not stand at %d", o.raw, o.offset)
	}
}
