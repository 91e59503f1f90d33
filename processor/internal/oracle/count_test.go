package oracle

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// decrypt returns a Decrypt event; extra is additional JSON with a leading comma.
func decrypt(eventID, eventTime, caller, recipient, extra string) string {
	return fmt.Sprintf(`{"eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":%q,"eventTime":%q,"awsRegion":"eu-west-1",`+
		`"userIdentity":{"type":"IAMUser","arn":"user-of-%s","accountId":%q},"recipientAccountId":%q,"resources":[{"ARN":%q}]%s}`,
		eventID, eventTime, caller, caller, recipient, keyA, extra)
}

// judge counts records in windows of five minutes.
func judge(t *testing.T, records ...string) *Result {
	t.Helper()
	j, err := New(5 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		j.AddRecord([]byte(record))
	}
	r := j.Result()
	if r.Received != r.Counted+r.Duplicates+r.Filtered+r.Bad {
		t.Errorf("received %d is not the sum of %+v", r.Received, *r)
	}
	return r
}

// lines returns a result as TSV without the totals.
func lines(t *testing.T, r *Result) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteTSV(&out); err != nil {
		t.Fatal(err)
	}
	rows, _, _ := strings.Cut(out.String(), "total\t")
	return rows
}

func TestOneCallCountsInThreeScopes(t *testing.T) {
	r := judge(t,
		decrypt("e1", "2025-01-01T00:04:59.999Z", "1", "1", ""),
		decrypt("e2", "2025-01-01T00:05:00Z", "1", "1", `,"errorCode":"AccessDenied"`),
		decrypt("e3", "2025-01-01T00:09:00Z", "1", "1", `,"errorCode":"NotFoundException"`),
		`{"eventSource":"kms.amazonaws.com","eventName":"ListKeys","eventID":"e4","eventTime":"2025-01-01T00:06:00Z","userIdentity":{"type":"IAMUser","arn":"user-of-1"}}`,
		`{"eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"e5"}`,
	)
	want := strings.Join([]string{
		"key\t-\t\t2025-01-01T00:05:00Z\t1\t0\t0\tread=1",
		"key\t" + keyA + "\t\t2025-01-01T00:00:00Z\t1\t0\t0\tdecrypt=1",
		"key\t" + keyA + "\t\t2025-01-01T00:05:00Z\t2\t1\t1\tdecrypt=2",
		"pair\t-\tuser-of-1\t2025-01-01T00:05:00Z\t1\t0\t0\tread=1",
		"pair\t" + keyA + "\tuser-of-1\t2025-01-01T00:00:00Z\t1\t0\t0\tdecrypt=1",
		"pair\t" + keyA + "\tuser-of-1\t2025-01-01T00:05:00Z\t2\t1\t1\tdecrypt=2",
		"principal\t\tuser-of-1\t2025-01-01T00:00:00Z\t1\t0\t0\tdecrypt=1",
		"principal\t\tuser-of-1\t2025-01-01T00:05:00Z\t3\t1\t1\tdecrypt=2\tread=1",
	}, "\n") + "\n"
	if got := lines(t, r); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if r.Received != 5 || r.Counted != 4 || r.Filtered != 1 {
		t.Errorf("totals: %+v", *r)
	}
}

func TestReEncryptCountsForBothKeysAndOnceForThePrincipal(t *testing.T) {
	r := judge(t, `{"eventSource":"kms.amazonaws.com","eventName":"ReEncrypt","eventID":"e1","eventTime":"1970-01-01T00:03:00Z",`+
		`"userIdentity":{"type":"IAMUser","arn":"u"},"resources":[{"ARN":"`+keyA+`"},{"ARN":"`+keyB+`"}]}`)
	want := "key\t" + keyA + "\t\t1970-01-01T00:00:00Z\t1\t0\t0\treencrypt=1\n" +
		"key\t" + keyB + "\t\t1970-01-01T00:00:00Z\t1\t0\t0\treencrypt=1\n" +
		"pair\t" + keyA + "\tu\t1970-01-01T00:00:00Z\t1\t0\t0\treencrypt=1\n" +
		"pair\t" + keyB + "\tu\t1970-01-01T00:00:00Z\t1\t0\t0\treencrypt=1\n" +
		"principal\t\tu\t1970-01-01T00:00:00Z\t1\t0\t0\treencrypt=1\n"
	if got := lines(t, r); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestCopies adds the copies of one call in every order: it must count once, for the
// principal and in the window of the copy with precedence.
func TestCopies(t *testing.T) {
	f := func(principal, start string, copies ...string) {
		t.Helper()
		for shift := range copies {
			order := append(append([]string{}, copies[shift:]...), copies[:shift]...)
			r := judge(t, order...)
			if r.Counted != 1 || r.Duplicates != len(copies)-1 {
				t.Errorf("counted %d, duplicates %d; want 1 and %d", r.Counted, r.Duplicates, len(copies)-1)
				continue
			}
			row := r.Rows[len(r.Rows)-1]
			if row.Scope != "principal" || row.Principal != principal || row.Start.Format(time.RFC3339) != start {
				t.Errorf("order %d: counted for %s %s at %v; want %s at %s", shift, row.Scope, row.Principal, row.Start, principal, start)
			}
		}
	}
	early, late := "2025-01-01T00:01:00Z", "2025-01-01T00:07:00Z"
	first, second := "2025-01-01T00:00:00Z", "2025-01-01T00:05:00Z"
	shared := `,"sharedEventID":"S-1"`
	// The same record twice; ids that differ in case only.
	f("user-of-1", first, decrypt("e1", early, "1", "1", ""), decrypt("E1", early, "1", "1", ""))
	// Two accounts: the caller's copy counts, though it is later.
	f("user-of-1", second, decrypt("e1", late, "1", "1", shared), decrypt("e2", early, "1", "2", `,"sharedEventID":"s-1"`))
	// One of the two accounts is unknown: it is a caller's copy.
	f("user-of-1", second, decrypt("e1", late, "1", "", shared), decrypt("e2", early, "1", "2", shared))
	f("user-of-", second, decrypt("e1", late, "", "2", shared), decrypt("e2", early, "1", "2", shared))
	// An addendum never counts in addition to its original, and ranks last.
	f("user-of-1", second, decrypt("e1", late, "1", "1", ""), decrypt("e9", early, "9", "9", `,"addendum":{"originalEventID":"e1"}`))
	f("user-of-1", second, decrypt("e1", late, "1", "2", shared), decrypt("e9", early, "9", "9", `,"sharedEventID":"s-1","addendum":{"originalEventID":"e1"}`))
	// An addendum alone is the call.
	f("user-of-9", first, decrypt("e9", early, "9", "9", `,"addendum":{"originalEventID":"e1"}`))
	// Equal rank: the earliest; equal time: the smallest event id, bytewise.
	f("user-of-2", first, decrypt("e1", late, "1", "1", shared), decrypt("e2", early, "2", "2", shared))
	f("user-of-2", first, decrypt("e1", early, "1", "1", shared), decrypt("E2", early, "2", "2", shared))
}

// TestEqualCopiesBySum checks the last tie-break: the record with the smaller CRC-32C
// counts, in any order.
func TestEqualCopiesBySum(t *testing.T) {
	record := func(user string) string {
		return `{"eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"e","eventTime":"2025-01-01T00:00:00Z","userIdentity":{"type":"IAMUser","arn":"` + user + `"}}`
	}
	sum := func(user string) uint32 {
		return crc32.Checksum([]byte(record(user)), crc32.MakeTable(crc32.Castagnoli))
	}
	want := "a"
	if sum("b") < sum("a") {
		want = "b"
	}
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		r := judge(t, record(order[0]), record(order[1]))
		if got := r.Rows[len(r.Rows)-1].Principal; got != want {
			t.Errorf("counted for %q, want %q", got, want)
		}
	}
}

func TestCallWithoutIDIsItsBytes(t *testing.T) {
	one := `{"eventSource":"kms.amazonaws.com","eventTime":"2025-01-01T00:00:00Z"}`
	other := `{"eventSource":"kms.amazonaws.com", "eventTime":"2025-01-01T00:00:00Z"}`
	r := judge(t, one, one, other)
	if r.Counted != 2 || r.Duplicates != 1 {
		t.Errorf("counted %d, duplicates %d; want 2 and 1", r.Counted, r.Duplicates)
	}
}

func TestBadRecords(t *testing.T) {
	f := func(record string) {
		t.Helper()
		if r := judge(t, record); r.Bad != 1 || r.Counted != 0 {
			t.Errorf("%s: bad %d, counted %d; want 1 and 0", record, r.Bad, r.Counted)
		}
	}
	f(`{"eventSource":"kms.amazonaws.com"`)
	f(`{"eventSource":"kms.amazonaws.com","eventTime":"2025-01-01T00:00:00Z"} {}`)
	f(`["kms.amazonaws.com"]`)
	f(`null`)
	f(``)
	f(`{"eventSource":"kms.amazonaws.com"}`)                            // no time
	f(`{"eventSource":"kms.amazonaws.com","eventTime":"yesterday"}`)    // no time
	f(`{"eventSource":"s3.amazonaws.com","x":{"a":1,"b":[],"a":2}}`)    // one name twice
	f(`{"eventSource":"s3.amazonaws.com","x":[{"a":1,"\u0061":"a"}]}`)  // the same after unescaping
	f(`{"eventSource":"s3.amazonaws.com","x":{"a":{"b":1},"a":"\":"}}`) // with one less inside, and a colon in a string
	f("{\"eventSource\":\"s3.amazonaws.com\",\"x\":\"\xff\"}")          // not UTF-8
	// These are valid: a value equal to a name, a name in two objects.
	for _, good := range []string{`{"a":"b","b":"a"}`, `{"a":{"b":1},"b":{"a":1}}`, `[{"a":1},{"a":1}]`, `{"a":["a","a"],"A":"a"}`, `{"a:":"\\",":":":\"\\:"}`} {
		if _, ok := decode([]byte(good)); !ok {
			t.Errorf("%s has no name twice", good)
		}
	}
}

func TestEnvelopes(t *testing.T) {
	a, b := decrypt("e1", "2025-01-01T00:00:00Z", "1", "1", ""), decrypt("e2", "2025-01-01T00:00:00Z", "1", "1", "")
	detail := `{"eventVersion":"1.11",` + a[1:]
	f := func(text string, counted, bad int) {
		t.Helper()
		j, err := New(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.AddText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if r := j.Result(); r.Counted != counted || r.Bad != bad || r.Received != counted+bad {
			t.Errorf("%s: received %d, counted %d, bad %d; want counted %d, bad %d", text, r.Received, r.Counted, r.Bad, counted, bad)
		}
	}
	f("", 0, 0)
	f(a, 1, 0)
	f("\n "+strings.ReplaceAll(a, ",", ",\n")+"\n", 1, 0) // one record over several lines
	f(`{"Records":[`+a+`, `+b+`]}`, 2, 0)
	f(`{"x":1,"Records":[ ]}`, 0, 0)
	f(`{"Records":[null,`+b+`,7]}`, 1, 2)
	f(a+"\r\n\r\n"+b, 2, 0)
	f(a+"\n{broken\n"+b, 2, 1)
	f("{\n\"eventSource\": broken\n}", 0, 1) // one broken record over several lines
	f(`{"Records":[`+a+"]}\n"+`{"Records":[`+b+`]}`, 2, 0)
	f(`[`+a+`,`+b+`]`, 2, 0)
	f(`[{"detail-type":"AWS API Call via CloudTrail","detail":`+detail+`},`+b+`]`, 2, 0)
	f(`[[`+a+`]]`, 0, 1)
	f(`{"version":"0","detail-type":"AWS API Call via CloudTrail","detail":`+detail+`}`, 1, 0)
	f(`{"detail-type":"KMS CMK Rotation","source":"aws.kms","detail":{"key-id":"k"}}`, 0, 1)
	f(`{"detail-type":"x","detail-type":"x","detail":`+detail+`}`, 0, 1)
	f(`{"_expected":true,"log":`+a+`}`, 1, 0)
	f(`{"hello":"world"}`, 0, 1)
	f(`"text"`, 0, 1)
	f(`42`, 0, 1)
}

func TestBrokenListIsAnError(t *testing.T) {
	a := decrypt("e1", "2025-01-01T00:00:00Z", "1", "1", "")
	for _, text := range []string{
		`{"Records":[` + a + `,{]}`,
		"{ \"Records\" : [\n" + a + "\n,{]}",
		`[` + a,
		a + "\n" + `{"Records":[` + a,
	} {
		j, err := New(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.AddText([]byte(text)); err == nil {
			t.Errorf("%s: no error, %+v", text, j.Result())
		}
	}
}

func TestCountReadsFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintf(z, `{"Records":[%s]}`, decrypt("e1", "2025-01-01T00:00:00Z", "1", "1", ""))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zipped := write("a/one.json", packed.Bytes()) // gzip without the name for it
	plain := write("b/c/two", []byte(decrypt("e1", "2025-01-01T00:00:00Z", "1", "1", "")+"\n"+decrypt("e2", "2025-01-01T00:00:00Z", "1", "1", "")))
	write("b/empty", nil)
	for _, paths := range [][]string{{dir}, {zipped, plain}, {plain, zipped}} {
		r, err := Count(paths, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if r.Received != 3 || r.Counted != 2 || r.Duplicates != 1 {
			t.Errorf("%q: %+v", paths, *r)
		}
	}
	cut := write("cut.json.gz", packed.Bytes()[:packed.Len()-6])
	for _, path := range []string{cut, filepath.Join(dir, "absent")} {
		if _, err := Count([]string{path}, time.Minute); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v does not name the file", path, err)
		}
	}
	for _, size := range []time.Duration{0, -time.Minute, time.Millisecond, 1500 * time.Millisecond} {
		if _, err := Count(nil, size); err == nil {
			t.Errorf("size %v: no error", size)
		}
	}
}

// TestOrderDoesNotMatter counts the same records, with copies, in many orders.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var records []string
	for i := range 300 {
		at := time.Unix(int64(1_750_000_000+rng.IntN(2000)), 0).UTC().Format(time.RFC3339)
		extra := ""
		if i%3 == 0 {
			extra = fmt.Sprintf(`,"sharedEventID":"s%d"`, rng.IntN(40))
		}
		records = append(records, decrypt(fmt.Sprint("e", rng.IntN(200)), at, fmt.Sprint(rng.IntN(3)), fmt.Sprint(rng.IntN(3)), extra))
	}
	want := judge(t, records...)
	for range 20 {
		rng.Shuffle(len(records), func(i, k int) { records[i], records[k] = records[k], records[i] })
		got := judge(t, records...)
		if lines(t, got) != lines(t, want) || got.Counted != want.Counted {
			t.Fatal("another order gives another count")
		}
	}
	// The sums of each scope agree: every call has one key here.
	calls := map[string]int{}
	for _, row := range want.Rows {
		calls[row.Scope] += row.Calls
	}
	if !maps.Equal(calls, map[string]int{"key": want.Counted, "pair": want.Counted, "principal": want.Counted}) {
		t.Errorf("calls by scope %v, want %d each", calls, want.Counted)
	}
}

func TestTSVKeepsValuesInTheirColumns(t *testing.T) {
	r := &Result{Rows: []Row{{Scope: "pair", Key: "a\tb", Principal: "c\nd\\", Start: time.Unix(0, 0).UTC(), Calls: 2, Classes: map[string]int{"sign": 1, "decrypt": 1}}}, Received: 2, Counted: 2}
	var out strings.Builder
	if err := r.WriteTSV(&out); err != nil {
		t.Fatal(err)
	}
	want := "pair\ta\\tb\tc\\nd\\\\\t1970-01-01T00:00:00Z\t2\t0\t0\tdecrypt=1\tsign=1\n" +
		"total\treceived\t2\ntotal\tcounted\t2\ntotal\tduplicates\t0\ntotal\tfiltered\t0\ntotal\tbad\t0\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
