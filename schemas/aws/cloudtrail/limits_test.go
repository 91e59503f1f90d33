package cloudtrail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

func readWith(t testing.TB, r io.Reader, lim decoding.Limits) (events, faults []outcome) {
	t.Helper()
	return parted(readAll(t, NewReader(r, "object", lim), 1<<20))
}

// wantOne wants these events and one bad record.
func wantOne(t *testing.T, events, faults []outcome, want []string, reason decoding.Reason, index int, offset int64) {
	t.Helper()
	if got := raws(events); !slices.Equal(got, want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	if len(faults) != 1 {
		t.Fatalf("%d bad records, want one", len(faults))
	}
	if f := faults[0]; f.reason != reason || f.index != index || f.offset != offset {
		t.Errorf("%s (%s), index %d, offset %d; want %s, %d, %d", f.reason, f.detail, f.index, f.offset, reason, index, offset)
	}
}

// padded returns an event of exactly n bytes.
func padded(i, n int) string {
	e := short(i)
	return strings.Replace(e, `"readOnly"`, `"pad":"`+strings.Repeat("x", n-len(e)-len(`"pad":"",`))+`","readOnly"`, 1)
}

// TestRecordSize: a record of exactly the limit is read, and one byte more is a
// bad record, wherever it stands in the buffer and whatever frames it.
func TestRecordSize(t *testing.T) {
	const limit = 2000
	for _, frame := range framings {
		for _, before := range []int{1, 100, 131, 500} { // around the ends of the chunks
			good, want := shorts(0, before), shorts(0, before)
			ok, over := padded(8, limit), padded(9, limit+1)
			text := frame.open + strings.Join(append(good, ok, over, short(7)), frame.between) + frame.shut
			events, faults := readWith(t, strings.NewReader(text), decoding.Limits{RecordBytes: limit})
			wantOne(t, events, faults, append(want, ok, short(7)), decoding.ReasonRecordSize, before+1, int64(strings.Index(text, over)))
		}
	}
}

// TestLongRecords: records far over the limit are passed over in bounded memory.
func TestLongRecords(t *testing.T) {
	for name, long := range map[string]string{
		"one string": padded(1, 20<<20),
		"many items": strings.Replace(short(1), `"readOnly"`, `"pad":[`+strings.Repeat(`{"a":[1,"x"]},`, 1<<20)+`0],"readOnly"`, 1),
		"no end":     strings.Replace(short(1), `"readOnly"`, `"pad":"`+strings.Repeat("x", 20<<20), 1),
	} {
		t.Run(name, func(t *testing.T) {
			text := list(short(0), long, short(2))
			r := NewReader(strings.NewReader(text), "object", decoding.Limits{})
			events, faults := parted(readAll(t, r, 9))
			wantOne(t, events, faults, []string{short(0), short(2)}, decoding.ReasonRecordSize, 1, int64(len(`{"Records":[`)+len(short(0))+1))
			if f := faults[0]; len(f.raw) != decoding.MaxRawBytes || !f.cut || f.raw != long[:decoding.MaxRawBytes] {
				t.Errorf("%d bytes kept, cut %v", len(f.raw), f.cut)
			}
			if most := 2*(4<<20) + chunk; cap(r.in.buf) > most {
				t.Errorf("the buffer grew to %d bytes, want at most %d", cap(r.in.buf), most)
			}
		})
	}
}

func TestDepth(t *testing.T) {
	for _, frame := range framings[:3] {
		text := frame.open + strings.Join([]string{short(0), deep(10_000), short(2)}, frame.between) + frame.shut
		events, faults := readWith(t, strings.NewReader(text), decoding.Limits{})
		wantOne(t, events, faults, []string{short(0), short(2)}, decoding.ReasonDepth, 1, int64(strings.Index(text, deep(10_000))))
		events, faults = readWith(t, strings.NewReader(text), decoding.Limits{Depth: 20_000})
		if len(events) != 3 || len(faults) != 0 {
			t.Errorf("%s: with a higher limit %d events and %d bad records", frame.name, len(events), len(faults))
		}
	}
	events, faults := readWith(t, strings.NewReader(strings.Repeat("[", 10_000)), decoding.Limits{})
	wantOne(t, events, faults, nil, decoding.ReasonTruncated, 0, 10_000)
}

func TestTooManyRecords(t *testing.T) {
	for _, frame := range framings {
		three := frame.open + strings.Join(shorts(0, 3), frame.between) + frame.shut
		four := frame.open + strings.Join(shorts(0, 4), frame.between) + frame.shut
		events, faults := readWith(t, strings.NewReader(three), decoding.Limits{Records: 3})
		if len(events) != 3 || len(faults) != 0 {
			t.Errorf("%s: %d events, %d bad records at the limit", frame.name, len(events), len(faults))
		}
		events, faults = readWith(t, strings.NewReader(four), decoding.Limits{Records: 3})
		wantOne(t, events, faults, shorts(0, 3), decoding.ReasonRecords, 3, int64(strings.Index(four, short(3))))
	}
}

func TestObjectSize(t *testing.T) {
	text := list(shorts(0, 5)...)
	end := strings.Index(text, short(4)) // the limit falls at the start of the last record, or inside the one before
	events, faults := readWith(t, strings.NewReader(text), decoding.Limits{InflatedBytes: int64(len(text))})
	if len(events) != 5 || len(faults) != 0 {
		t.Errorf("%d events, %d bad records at the limit", len(events), len(faults))
	}
	for _, in := range []string{text, zip(t, text)} {
		events, faults = readWith(t, strings.NewReader(in), decoding.Limits{InflatedBytes: int64(end)})
		wantOne(t, events, faults, shorts(0, 4), decoding.ReasonInflatedSize, 4, int64(end))
		events, faults = readWith(t, strings.NewReader(in), decoding.Limits{InflatedBytes: int64(end - 10)})
		wantOne(t, events, faults, shorts(0, 3), decoding.ReasonInflatedSize, 3, int64(strings.Index(text, short(3))))
	}
}

// TestZeros: 2 GB of zeros that inflate from 2 MB, alone and where records are
// expected, are one bad record; they cost 16 MB of inflating and a few of memory.
func TestZeros(t *testing.T) {
	const member = 16 << 20
	zeros := strings.Repeat(zip(t, string(make([]byte, member))), 128)
	if len(zeros) > 3<<20 {
		t.Fatalf("the bomb has %d bytes", len(zeros))
	}
	head := `{"Records":[` + short(0) + "," + short(1) + ","
	f := func(name, packed string, want []string, index int, offset int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := NewReader(strings.NewReader(packed), "object", decoding.Limits{})
			events, faults := parted(readAll(t, r, 9))
			runtime.ReadMemStats(&after)
			wantOne(t, events, faults, want, decoding.ReasonInflatedSize, index, offset)
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
			if read := r.in.offset(); read > 4*decoding.RatioFloor {
				t.Errorf("%d bytes were inflated", read)
			}
			if n := len(faults[0].raw); n > decoding.MaxRawBytes || !faults[0].cut {
				t.Errorf("%d bytes kept, cut %v", n, faults[0].cut)
			}
		})
	}
	f("alone", zeros, nil, 0, 0)
	f("in a list", zip(t, head)+zeros, shorts(0, 2), 2, int64(len(head)))
	f("by line", zip(t, short(0)+"\n")+zeros, shorts(0, 1), 1, int64(len(short(0))+1))
	f("in a string", zip(t, head+`{"eventVersion":"`)+zeros, shorts(0, 2), 2, int64(len(head)))
	f("behind the list", zip(t, `{"Records":[`+short(0)+`],`)+zeros, shorts(0, 1), 1, int64(len(short(0))+len(`{"Records":[],`)))
	spaces := strings.Repeat(zip(t, strings.Repeat(" ", member)), 128)
	events, faults := readWith(t, strings.NewReader(zip(t, head)+spaces), decoding.Limits{})
	if len(events) != 2 || len(faults) != 1 || faults[0].reason != decoding.ReasonInflatedSize {
		t.Errorf("spaces: %d events, %d bad records", len(events), len(faults))
	}
}

// TestRatio: what CloudTrail writes stays far from the bound on the ratio.
func TestRatio(t *testing.T) {
	var all []string
	for i := range 20_000 {
		all = append(all, schematest.Decrypt(i))
	}
	text := list(all...)
	packed := zip(t, text)
	if len(text) < decoding.RatioFloor {
		t.Fatalf("%d bytes are below the floor", len(text))
	}
	t.Logf("%d records of %d bytes inflate %d times", len(all), len(text), len(text)/len(packed))
	events, faults := readWith(t, strings.NewReader(packed), decoding.Limits{})
	if len(events) != len(all) || len(faults) != 0 {
		t.Errorf("%d events, %d bad records", len(events), len(faults))
	}
}

var errSource = errors.New("connection reset by peer")

// TestReadErrors: a source that fails is a failure to read, and never damage of
// the object: the same object can be read again.
func TestReadErrors(t *testing.T) {
	text := list(shorts(0, 3)...)
	packed := zip(t, fileOf(200))
	for _, failure := range []error{errSource, io.ErrUnexpectedEOF} {
		for k := range len(text) {
			r := io.MultiReader(strings.NewReader(text[:k]), iotest.ErrReader(failure))
			events, faults := readWith(t, r, decoding.Limits{})
			if len(faults) != 1 || faults[0].reason != decoding.ReasonRead || !strings.Contains(faults[0].detail, failure.Error()) {
				t.Fatalf("%v at %d: %d events, %+v", failure, k, len(events), faults)
			}
			if !slices.Equal(raws(events), shorts(0, len(events))) || k > len(text)-3 && len(events) != 3 {
				t.Fatalf("%v at %d: %d events", failure, k, len(events))
			}
		}
		for k := 2; k < len(packed); k += 97 {
			r := io.MultiReader(strings.NewReader(packed[:k]), iotest.ErrReader(failure))
			if _, faults := readWith(t, r, decoding.Limits{}); len(faults) != 1 || faults[0].reason != decoding.ReasonRead {
				t.Fatalf("gzip, %v at %d: %+v", failure, k, faults)
			}
		}
	}
}

// idle gives some bytes and then neither bytes nor an end.
type idle struct{ r io.Reader }

func (i idle) Read(p []byte) (int, error) {
	n, _ := i.r.Read(p)
	return n, nil
}

func TestNoProgress(t *testing.T) {
	text := list(shorts(0, 3)...)
	for _, in := range []string{"", text[:1], text[:700], text[:len(text)-1], zip(t, text)[:200]} {
		_, faults := readWith(t, idle{strings.NewReader(in)}, decoding.Limits{})
		if len(faults) != 1 || faults[0].reason != decoding.ReasonRead || !strings.Contains(faults[0].detail, io.ErrNoProgress.Error()) {
			t.Errorf("%d bytes: %+v", len(in), faults)
		}
	}
}

// TestCompressedSize: an object that is too long as it is stored costs what
// stands behind the limit.
func TestCompressedSize(t *testing.T) {
	packed := zip(t, fileOf(20_000)) // several chunks
	events, faults := readWith(t, strings.NewReader(packed), decoding.Limits{CompressedBytes: int64(len(packed))})
	if len(events) != 20_000 || len(faults) != 0 {
		t.Errorf("%d events, %d bad records at the limit", len(events), len(faults))
	}
	events, faults = readWith(t, strings.NewReader(packed), decoding.Limits{CompressedBytes: int64(len(packed) / 4)})
	if len(events) == 0 || len(events) >= 20_000 || len(faults) != 1 || faults[0].reason != decoding.ReasonInflatedSize {
		t.Errorf("%d events, %+v", len(events), faults)
	}
}

// TestFieldSize: a value of exactly the limit is read, and one byte more is one
// bad record, in every kind of field; a field that is not read may be longer.
func TestFieldSize(t *testing.T) {
	const limit = 1000
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for _, form := range []string{
		`{"eventName":%s,"eventID":"e"}`, `{"eventName" : %s }`, `{"eventName":"x","errorMessage":%s}`,
		`{"eventName":"x","requestParameters":{"policy":%s,"name":"n"}}`,
		`{"eventName":"x","requestParameters":{"encryptionContext":{"k":%s}}}`,
		`{"eventName":"x","requestParameters":{"eventSelectors":[%s]}}`,
		`{"eventName":"x","userIdentity":{"arn":%s}}`, `{"eventName":"x","resources":[%s]}`,
		`{"eventName":"x","requestParameters":{"operations":["Decrypt",%s]}}`, `{"eventName":"x","requestParameters":{"encryptionContext":{%s:1}}}`,
	} {
		for size, want := range map[int]decoding.Reason{limit: "", limit + 1: decoding.ReasonFieldSize} {
			if strings.Contains(form, "eventSelectors") {
				size -= len(`[""]`)
			}
			text := fmt.Sprintf(form, long(size))
			dec, ev := NewDecoder(decoding.Limits{FieldBytes: limit}), Event{}
			for round := range 3 { // the names are known from the second on
				var reason decoding.Reason
				if bad, ok := dec.Decode([]byte(text), &ev).(*decoding.BadRecord); ok {
					reason = bad.Reason
				}
				if reason != want {
					t.Errorf("%s with %d, round %d: %q, want %q", form, size, round, reason, want)
				}
			}
		}
	}
	text := `{"eventName":"x","unknown":` + long(5000) + `}`
	if err := NewDecoder(decoding.Limits{FieldBytes: limit}).Decode([]byte(text), new(Event)); err != nil {
		t.Error(err)
	}
}

// TestBadRecordOwnsItsHead: the bytes of a record too long to hold are still
// there when the rest of it has gone by.
func TestBadRecordOwnsItsHead(t *testing.T) {
	long := padded(1, 9<<20)
	r, ev := NewReader(strings.NewReader(list(long, short(2))), "object", decoding.Limits{}), Event{}
	bad, ok := r.Next(&ev).(*decoding.BadRecord)
	if !ok || !bytes.Equal(bad.Raw, []byte(long[:decoding.MaxRawBytes])) || !strings.HasPrefix(bad.Error(), "object: record 0 at byte 12: record_too_big: ") {
		t.Errorf("%.200v", bad)
	}
}
