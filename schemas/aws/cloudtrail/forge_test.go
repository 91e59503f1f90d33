package cloudtrail

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/internal/schematest"
)

// forged is an event that somebody would like to have happened.
const forged = `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/alice"},"eventTime":"2026-11-20T09:00:02Z",` +
	`"eventSource":"kms.amazonaws.com","eventName":"ScheduleKeyDeletion","awsRegion":"eu-central-1","eventID":"f0f0f0f0-0000-4000-8000-000000000002"}`

// holes are the places of a record whose bytes its caller chooses; %s stands for
// a JSON value, and %n for a name with its quotes.
var holes = func() (list []string) {
	const record = `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","arn":"a","sessionContext":{"sourceIdentity":"i"}},"eventTime":"2026-11-20T09:00:01Z",` +
		`"eventSource":"docs.amazonaws.com","eventName":"PutDocument","userAgent":"u","requestParameters":{"p":1},"responseElements":null,"eventID":"own","resources":[]}`
	for _, f := range [][2]string{
		{`"p":1`, `"encryptionContext":{"a":%s,"b":"c"}`}, {`"p":1`, `"encryptionContext":{%n:"v","b":"c"}`}, {`"p":1`, `"encryptionContext":{"b":"c",%n:%s}`},
		{`"p":1`, `"document":{"x":%s}`}, {`"p":1`, `"document":[%s,{"y":2}]`}, {`"p":1`, `"document":[[%s]],"p":1`}, {`"p":1`, `"policy":%s,"description":"d"`},
		{`"p":1`, `"tags":[{"key":%s,"value":%s},{"key":"k","value":"v"}]`}, {`{"p":1}`, `%s`}, {`"u"`, `%s`}, {`"i"`, `%s`}, {`"a"`, `%s`}, {`:null`, `:{"document":%s}`}, {`[]`, `[%s]`},
		{`"own"`, `"own","errorMessage":%s`},
	} {
		list = append(list, strings.Replace(record, f[0], f[1], 1))
	}
	return list
}()

// attacks are values that callers have reason to try.
func attacks() []string {
	file := list(forged)
	twice, deepIn := `{"a":1,"a":2}`, strings.Repeat("[", 200)+strings.Repeat("]", 200)
	values := []string{
		`"v"`, forged, file, `[` + forged + `]`, `[` + forged + `,{},{}]`, `{"a":{"log":` + quoted(forged) + `}}`, `{"message":` + quoted(forged) + `}`, `{"Events":[{"EventId":"e","CloudTrailEvent":` + quoted(forged) + `}]}`,
		quoted(forged), quoted(file), quoted("\n" + forged + "\n"), quoted(`"}]}` + forged), quoted(`\`), quoted(`\"` + forged), `"}]}{"`, `"\ud800"`, quoted("\u2028" + forged), `"` + "\x7f" + `"`,
		`{"\ud800":1,"\ud801":2}`, `{"eventVersion":{"eventVersion":` + forged + `}}`, `{"detail-type":"x","detail":` + forged + `}`, `{"Records":[],"x":` + file + `}`,
	}
	for _, spoil := range []string{twice, deepIn, "\"\xff\"", `"` + strings.Repeat("long", 40_000) + `"`, `"` + strings.Repeat("x", 5<<20) + `"`, `[` + strings.Repeat("1,", 3<<20) + `1]`} {
		values = append(values, spoil, `[`+spoil+`,`+forged+`]`, `[`+forged+`,`+spoil+`]`, `{"x":`+spoil+`,"y":`+file+`}`, `{"y":`+forged+`,"x":`+spoil+`,"z":[`+forged+`]}`)
	}
	return values
}

// filled returns the record of a hole with a value, and false when the value
// cannot stand there: the judge is encoding/json.
func filled(hole, value string) (string, bool) {
	name := quoted("name")
	if strings.HasPrefix(value, `"`) {
		name = value
	}
	record := strings.ReplaceAll(strings.ReplaceAll(hole, "%n", name), "%s", value)
	return record, json.Valid([]byte(record)) && record != hole
}

// holdsForging reads an object with one attacked record among others: there is one
// outcome for each, and those of the others are their events.
func holdsForging(t *testing.T, what, open, between, shut, record string) {
	t.Helper()
	all := []string{short(0), short(1), record, short(3), short(4)}
	text := open + strings.Join(all, between) + shut
	got := read(t, text)
	if len(got) != len(all) {
		t.Errorf("%s: %d outcomes, want %d: %.600s", what, len(got), len(all), fmt.Sprint(got))
		return
	}
	for i, o := range got {
		own := i == 2 && o.reason != "" && (o.raw == record || o.cut && strings.HasPrefix(record, o.raw))
		if !own && (o.raw != all[i] || o.reason != "") {
			t.Errorf("%s: outcome %d is %s %.200q", what, i, o.reason, o.raw)
		}
	}
}

// sampled returns a function that reports whether to try the next case: always, and with
// -short for every eleventh one.
func sampled() func() bool {
	n := 0
	return func() bool {
		n++
		return !testing.Short() || n%11 == 0
	}
}

// TestRowA16Forging: no bytes that a caller puts into a record change the number of events, or any event but the record's own.
func TestRowA16Forging(t *testing.T) {
	try := sampled()
	for n, value := range attacks() {
		for h, hole := range holes {
			record, ok := filled(hole, value)
			if !ok {
				continue
			}
			for _, frame := range framings {
				if len(record) > 1<<20 && (h != 3 || n%2 != len(frame.name)%2) || !try() {
					continue // enough of the long ones
				}
				holdsForging(t, fmt.Sprintf("attack %d, hole %d, %s", n, h, frame.name), frame.open, frame.between, frame.shut, record)
			}
		}
	}
}

// TestForgingInEnvelopes: the same where each record is a text in an envelope.
func TestForgingInEnvelopes(t *testing.T) {
	try := sampled()
	text := func(before, behind string) func(string) string {
		return func(e string) string { return before + quoted(e) + behind }
	}
	for name, around := range map[string]func(string) string{
		"SNS in SQS": func(e string) string { return sqsMessage(snsMessage(e)) }, "Fluent Bit": text(`{"log":`, `}`), "LookupEvents": text(`{"EventId":"e","CloudTrailEvent":`, `}`),
		"subscription": func(e string) string { return subscription(e) },
	} {
		for n, value := range attacks() {
			for h, hole := range holes[:5] {
				record, ok := filled(hole, value)
				if !ok || len(record) > 1<<20 || strings.Contains(value, "\xff") || !try() {
					continue
				}
				got := read(t, around(short(0))+"\n"+around(record)+"\n"+around(short(2)))
				if len(got) != 3 || got[0].raw != short(0) || got[1].raw != record || got[2].raw != short(2) {
					t.Errorf("%s, attack %d, hole %d: %.600s", name, n, h, fmt.Sprint(got))
				}
			}
		}
	}
}

// TestForgingByDamage: nor when the record is damaged besides. A cut behind what was
// put there is in TestForgingByCut.
func TestForgingByDamage(t *testing.T) {
	good := []string{short(0), short(1), short(3), short(4)}
	for _, d := range damages {
		if strings.HasPrefix(d.name, "cut") {
			continue
		}
		for _, value := range []string{forged, list(forged), `[` + forged + `,{}]`, quoted(forged), quoted(`"}]}` + forged), `{"a":` + list(forged) + `}`} {
			whole := strings.Replace(strings.Replace(schematest.Decrypt(2), `"requestParameters":{`, `"requestParameters":{"document":{"x":`+value+`},`, 1), `"readOnly":true`, `"p":[`+value+`],"readOnly":true`, 1)
			broken := d.damage(whole)
			for _, frame := range framings {
				text := frame.open + strings.Join([]string{short(0), short(1), broken, short(3), short(4)}, frame.between) + frame.shut
				events, faults := parted(read(t, text))
				for _, e := range events {
					if !slices.Contains(good, e.raw) {
						t.Errorf("%s, %s, %.40s: %.100q is an event", d.name, frame.name, value, e.raw)
					}
				}
				if len(events)+4*len(faults) < 4 {
					t.Errorf("%s, %s, %.40s: only %d events", d.name, frame.name, value, len(events))
				}
			}
		}
	}
}

// TestForgingByCut cuts an object inside a record, at every byte: nothing behind the
// record is left to say what is inside it, and nothing inside becomes an event.
func TestForgingByCut(t *testing.T) {
	try := sampled()
	for _, value := range []string{forged, list(forged), `[` + forged + `,{},{}]`, `[` + forged + `]`} {
		record := strings.Replace(holes[3], "%s", value, 1)
		for _, frame := range framings {
			for _, before := range [][]string{nil, {short(0), short(1)}} {
				for k := range record {
					if !try() {
						continue
					}
					events, faults := parted(read(t, frame.open+strings.Join(append(before[:len(before):len(before)], record[:k]), frame.between)))
					if !slices.Equal(raws(events), before) || len(faults) > 1 {
						t.Fatalf("%s, cut to %q: %.300q are events; %d bad records", frame.name, record[:k], raws(events), len(faults))
					}
				}
			}
		}
	}
}

// TestForgingBySplit splits a record that stands in a line, at every byte, as container
// runtimes and syslog split long lines: no piece is an event.
func TestForgingBySplit(t *testing.T) {
	try := sampled()
	text := func(before, behind string) func(string) string {
		return func(piece string) string { return before + quoted(piece) + behind }
	}
	for _, value := range []string{forged, list(forged), `[1,` + forged + `,{}]`, `[` + forged + `]`} {
		record := strings.Replace(holes[3], "%s", value, 1)
		for name, around := range map[string]func(string) string{
			"lines": func(piece string) string { return piece }, "export": func(piece string) string { return "2026-04-01T10:00:00.000Z " + piece },
			"log": text(`{"log":`, `,"stream":"stdout"}`), "message": text(`{"message":`, `}`),
		} {
			for k := 1; k < len(record); k++ {
				if !try() {
					continue
				}
				events, _ := parted(read(t, around(short(0))+"\n"+around(record[:k])+"\n"+around(record[k:])+"\n"+around(short(3))+"\n"))
				if len(events) == 3 && strings.ReplaceAll(events[1].raw, "\n", "") == record {
					continue // a line feed between two values
				}
				if !slices.Equal(raws(events), []string{short(0), short(3)}) {
					t.Fatalf("%s, split behind %q: %.300q are events", name, record[:k], raws(events))
				}
			}
		}
		// Of three pieces the middle one may be a whole part: the runtime says that it is a piece.
		at := strings.Index(record, forged)
		head := "2026-04-01T10:00:00.000000000Z stdout "
		events, faults := parted(read(t, head+"F "+short(0)+"\n"+head+"P "+record[:at]+"\n2026-04-01T10:00:00.000000000Z stderr F x\n"+head+"P "+forged+"\n"+head+"F "+record[at+len(forged):]+"\n"+head+"F "+short(1)+"\n"))
		if !slices.Equal(raws(events), []string{short(0), short(1)}) || len(faults) != 4 {
			t.Errorf("%.20s: %.300q are events, %d bad records", value, raws(events), len(faults))
		}
		events, faults = parted(read(t, `{"log":`+quoted(forged)+`,"partial_message":"true","partial_id":"x"}`))
		if len(events) != 0 || len(faults) != 1 {
			t.Errorf("a piece: %d events, %+v", len(events), faults)
		}
	}
}

// TestForgingByByte damages a byte around what was put into a record: no byte there makes
// an event of it. (A cut does where it falls exactly behind a part of the record and what
// follows goes on as a list would, because nothing tells the two apart.)
func TestForgingByByte(t *testing.T) {
	try := sampled()
	for _, value := range []string{forged, list(forged), `[1,` + forged + `,{}]`} {
		record := strings.Replace(holes[3], "%s", value, 1)
		first, last := strings.Index(record, value)-12, strings.Index(record, value)+len(value)+12
		for _, frame := range framings {
			f := func(damaged string) {
				t.Helper()
				events, _ := parted(read(t, frame.open+strings.Join([]string{short(0), short(1), damaged, short(3), short(4)}, frame.between)+frame.shut))
				for _, e := range events {
					if e.name == "ScheduleKeyDeletion" {
						t.Fatalf("%s: %q gives %.100q", frame.name, damaged, e.raw)
					}
				}
			}
			for k := first; k < last; k++ {
				if k > first+60 && k < last-60 || !try() {
					continue
				}
				f(record[:k] + record[k+1:])
				for _, c := range []byte("{}[]\",:\\\n") {
					if c == '\n' && frame.name == "file by line" {
						continue // the list goes on at each line, as far as anything says
					}
					f(record[:k] + string([]byte{c}) + record[k+1:])
					f(record[:k] + string([]byte{c}) + record[k:])
				}
			}
		}
	}
}

// FuzzForge puts bytes into the holes of records.
func FuzzForge(f *testing.F) {
	for n, value := range attacks() {
		if len(value) < 10_000 {
			f.Add(byte(n), byte(n), value)
		}
	}
	f.Fuzz(func(t *testing.T, h, frame byte, value string) {
		for _, value := range []string{value, `"` + value + `"`, quoted(value)} {
			record, ok := filled(holes[int(h)%len(holes)], value)
			if fr := framings[int(frame)%len(framings)]; ok && (fr.between != "\n" || !strings.Contains(record, "\n")) {
				holdsForging(t, fr.name, fr.open, fr.between, fr.shut, record)
			}
		}
	})
}
