package normalize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	sc "keytrail/schemas/semconv"
)

// one normalizes a single event.
func one(t testing.TB, text string) *result {
	t.Helper()
	all := normalizeAll(t, "one", []byte(text))
	if len(all) != 1 || all[0].bad != nil || all[0].filtered {
		t.Fatalf("%d results, want one record: %+v", len(all), all)
	}
	return &all[0]
}

// kmsEvent returns a KMS event with more members.
func kmsEvent(name, members string) string {
	return `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"` + name + `","awsRegion":"eu-central-1",` +
		`"recipientAccountId":"111122223333","eventID":"e"` + members + `}`
}

func TestWanted(t *testing.T) {
	f := func(source, name string, want bool) {
		t.Helper()
		text := fmt.Sprintf(`{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":%q,"eventName":%q,"eventID":"e"}`, source, name)
		for _, r := range normalizeAll(t, "wanted", []byte(text)) {
			if r.filtered == want || r.bad != nil {
				t.Errorf("%s/%s: filtered %v", source, name, r.filtered)
			}
		}
	}
	f("kms.amazonaws.com", "Decrypt", true)
	f("kms.amazonaws.com", "NewOperationOfNextYear", true)
	for name := range trailChanges {
		f("cloudtrail.amazonaws.com", name, true)
	}
	f("cloudtrail.amazonaws.com", "LookupEvents", false)
	f("s3.amazonaws.com", "GetObject", false)
	f("s3.amazonaws.com", "StopLogging", false)
	f("", "Decrypt", false)
}

func TestPublicPolicy(t *testing.T) {
	// The policy arrives as a JSON string, or as an object from tools that unpack it.
	for _, p := range []string{`"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\"}}"`, `{"Statement":{"Effect":"Allow","Principal":"*"}}`} {
		if got := one(t, kmsEvent("PutKeyPolicy", `,"requestParameters":{"policy":`+p+`}`)).text(sc.KeytrailPolicyPublic); got != "true" {
			t.Errorf("%s: %q", p, got)
		}
	}
}

func TestOutcome(t *testing.T) {
	for code, want := range map[string]kms.Outcome{
		"": kms.OutcomeOK, "AccessDenied": kms.OutcomeDenied, "AccessDeniedException": kms.OutcomeDenied, "KMS.AccessDenied": kms.OutcomeDenied,
		"UnauthorizedOperation": kms.OutcomeDenied, "Client.UnauthorizedOperation": kms.OutcomeDenied,
		"ThrottlingException": kms.OutcomeFailed, "AccessDeniedX": kms.OutcomeFailed, "DryRunOperationException": kms.OutcomeFailed,
	} {
		if got := OutcomeOf(code, ""); got != want {
			t.Errorf("%q: %s, want %s", code, got, want)
		}
	}
	if got := OutcomeOf("", "Access denied"); got != kms.OutcomeFailed {
		t.Errorf("a message without a code: %s", got)
	}
	if got := OutcomeOf("AccessDenied", "no"); got != kms.OutcomeDenied {
		t.Errorf("a code with a message: %s", got)
	}
}

// TestBadTime: an event without a usable time is a bad record with bounded parts.
func TestBadTime(t *testing.T) {
	for _, at := range []string{`null`, `""`, `"yesterday"`, `7`, `{}`, `"1970-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`, `"2262-01-01T00:00:00Z"`, `"` + strings.Repeat("x", 100<<10) + `"`} {
		filler := `,"filler":"` + strings.Repeat("y", 1<<20) + `"`
		text := strings.Replace(kmsEvent("Decrypt", filler), `"2026-03-02T09:00:00Z"`, at, 1)
		all := normalizeAll(t, "o", []byte(text))
		if len(all) != 1 || all[0].bad == nil {
			t.Errorf("%.40s: %d results", at, len(all))
			continue
		}
		b := all[0].bad
		if b.Reason != decoding.ReasonTime || !strings.Contains(b.Detail, "eventTime") || len(b.Detail) > 400 || b.Object != "o" ||
			!strings.HasPrefix(text, string(b.Raw)) || len(b.Raw) != min(len(text), decoding.MaxRawBytes) || b.Cut != (len(text) > decoding.MaxRawBytes) {
			t.Errorf("%.40s: %s, %.100s, %d bytes, cut %v", at, b.Reason, b.Detail, len(b.Raw), b.Cut)
		}
	}
}

func TestParseTime(t *testing.T) {
	f := func(s string, want string) {
		t.Helper()
		ns, ok := parseTime(s)
		got := ""
		if ok {
			got = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	f("2026-03-02T09:12:44Z", "2026-03-02T09:12:44Z")
	f("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z")
	f("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z")
	f("1970-01-01T00:00:01Z", "1970-01-01T00:00:01Z")
	f("2261-12-31T23:59:59Z", "2261-12-31T23:59:59Z")
	f("2026-03-02T09:12:44.125Z", "2026-03-02T09:12:44.125Z")
	f("2026-03-02T09:12:44.123456789Z", "2026-03-02T09:12:44.123456789Z")
	f("2026-03-02T09:12:44+01:00", "2026-03-02T08:12:44Z")
	f("2026-03-02T09:12:44.5-05:30", "2026-03-02T14:42:44.5Z")
	f("2262-01-01T00:30:00+01:00", "2261-12-31T23:30:00Z") // it is the moment that counts
	f("1969-12-31T23:30:00-01:00", "1970-01-01T00:30:00Z")
	f("2024-01-01 00:00:00.000", "2024-01-01T00:00:00Z")
	f("2024-01-01 00:00:00", "2024-01-01T00:00:00Z")
	for _, bad := range []string{
		"", "2026", "2026-03-02", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z",
		"2026-03-02T24:00:00Z", "2026-03-02T00:60:00Z", "2026-03-02T00:00:60Z", "2026-03-02t00:00:00z", "2026-03-02T00:00:00", "2026-03-02 00:00:00Z",
		"2026-03-02T9:12:44Z", "2026-03-02 9:12:44", "2026-03-02T09:12:44,5Z", "+026-03-02T09:12:44Z", "2026-03-02T09:12:4/Z", "2026-03-0:T09:12:44Z",
		"Oct 21, 2024, 2:25:29 PM", "1772442764", " 2026-03-02T09:12:44Z", "2026-03-02T09:12:44Z ", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+05:00", "2261-12-31T23:30:00-05:00", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
	} {
		f(bad, "")
	}
}

// TestParseTimeEveryDay compares the fast path with package time on every day of
// 1970 to 2261.
func TestParseTimeEveryDay(t *testing.T) {
	for d := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC); d.Year() < 2262; d = d.AddDate(0, 0, 1) {
		at := d.Add(time.Duration(d.Unix()/86400*7919%86400) * time.Second)
		text := at.Format("2006-01-02T15:04:05Z")
		if ns, ok := fastTime(text); !ok || ns != at.UnixNano() {
			t.Fatalf("%s: %d, %v; want %d", text, ns, ok, at.UnixNano())
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-03-02T09:12:44Z", "2024-02-29 23:59:59.5", "2026-03-02T09:12:44.5+01:00", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "2026-02-30T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ns, ok := parseTime(s)
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			want, err = time.Parse("2006-01-02 15:04:05", s)
		}
		inRange := err == nil && want.After(time.Unix(0, 0)) && want.UTC().Year() < 2262
		lenient := err == nil && (len(s) < 19 || s[13] != ':' || strings.Contains(s, ",")) // what package time takes beyond RFC 3339
		if ok != (inRange && !lenient) || ok && ns != want.UnixNano() {
			t.Errorf("%q: %d, %v; package time says %v, %v", s, ns, ok, want, err)
		}
	})
}

// FuzzRecord: whatever an event says, its record is valid by the JSON Schema, and
// its body is the event.
// TestIPv4: isIPv4 holds for what netip takes for an IPv4 address, and for
// nothing else.
func TestIPv4(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = "0123456789.."[r.IntN(12)]
		}
		for _, s := range []string{string(b), fmt.Sprintf("%d.%d.%d.%d", r.IntN(300), r.IntN(300), r.IntN(10), r.IntN(300)), string(b) + ".0.1"} {
			a, err := netip.ParseAddr(s)
			if got := isIPv4(s); got != (err == nil && a.Is4()) {
				t.Fatalf("%q: %v", s, got)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal("no rows in testdata")
	}
	for _, path := range files {
		if !strings.Contains(path, ".golden.") {
			for line := range bytes.Lines(read(f, path)) {
				f.Add(bytes.TrimSpace(line))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range normalizeAll(t, "fuzz", data) {
			if r.bad == nil && !r.filtered && (r.rec.Time <= 0 || r.text(sc.KeytrailCallID) == "" || r.text(sc.KeytrailPrincipalID) == "") {
				t.Errorf("a record without time, call id or principal: %s", r.line)
			}
		}
	})
}

// TestCorpus: every KMS event that others published gives a valid record, with
// the event as its body.
func TestCorpus(t *testing.T) {
	f := func(name string, text []byte, records int) {
		t.Helper()
		n := 0
		for _, r := range normalizeAll(t, name, text) {
			if !r.filtered && r.bad == nil {
				n++
			}
		}
		if n != records {
			t.Errorf("%s: %d records, want %d", name, n, records)
		}
	}
	for name, records := range map[string]int{
		"invictus-ir/kms_events.ndjson": 240, "awsdocs-kms-developer-guide/kms_events.ndjson": 68, "seeds/kms_events.ndjson": 7,
		"shapes-2025/kms_events_2025_shape_exemplars.ndjson": 3, "shapes-2025/rotatekey_2025_and_eventbridge.ndjson": 2, "streamalert/kms_events.ndjson": 2,
		"traildiscover/CreateKey.json.cloudtrail": 1, "traildiscover/DescribeKey.json.cloudtrail": 1, "panther-analysis/panther-analysis_rule_tests.ndjson": 12,
		"stratus/aws.defense-evasion.cloudtrail-event-selectors.json": 1, "stratus/aws.defense-evasion.cloudtrail-stop.json": 1,
	} {
		f(name, schematest.File(t, name), records)
	}
	records, changes := 0, 0
	for name, text := range schematest.Trail(t) {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		for _, r := range normalizeAll(t, name, text) {
			if r.bad != nil {
				t.Errorf("%s: %v", name, r.bad)
			}
			if r.filtered {
				continue
			}
			records++
			if r.rec.EventName == sc.EventAWSCloudTrailTrailChange {
				changes++
			}
		}
	}
	if records-changes != 240 || changes == 0 {
		t.Errorf("the trail gives %d records, %d of them trail changes; want 240 of KMS and some changes", records, changes)
	}
}

// TestAllocations: in steady state an event costs no allocation from its bytes to
// the log record's.
func TestAllocations(t *testing.T) {
	for name, text := range map[string]string{
		"caller":      schematest.Decrypt(1),
		"service":     strings.Replace(schematest.Decrypt(1), `"192.0.2.2"`, `"lambda.amazonaws.com"`, 1),
		"no resource": kmsEvent("Decrypt", `,"userIdentity":{"type":"Root","accountId":"1"},"requestParameters":{"keyId":"alias/x"},"sharedEventID":"ABC"`),
		"filtered":    strings.Replace(schematest.Decrypt(1), "kms.amazonaws.com", "s3.amazonaws.com", 1),
	} {
		data, dec, n := []byte(text), cloudtrail.NewDecoder(decoding.Limits{}), New(Options{})
		var ev cloudtrail.Event
		var rec otellog.Record
		var out []byte
		allocs := testing.AllocsPerRun(200, func() {
			if err := dec.Decode(data, &ev); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Record(&ev, observed, &rec); err != nil {
				t.Fatal(err)
			}
			out = otellog.AppendRequest(out[:0], &rec)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
		if !json.Valid(otellog.AppendJSON(nil, &rec)) {
			t.Errorf("%s: the record is no JSON", name)
		}
	}
}
