package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// outcome is what one call of Next gave: an event or a bad record.
type outcome struct {
	raw    string
	name   string // of an event
	index  int
	offset int64
	reason decoding.Reason // "" for an event
	cut    bool
	detail string
}

// readAll reads an object to its end. It fails the test when Next goes on after
// io.EOF, or gives more outcomes than the input has bytes to make them of.
func readAll(t testing.TB, r *Reader, most int) (all []outcome) {
	t.Helper()
	var ev Event
	for {
		switch err := r.Next(&ev).(type) {
		case nil:
			if ev.Object != "object" {
				t.Fatalf("event of object %q", ev.Object)
			}
			all = append(all, outcome{raw: string(ev.Raw), name: strings.Clone(ev.Name), index: ev.Index, offset: ev.Offset})
		case *decoding.BadRecord:
			if err.Object != "object" || err.Detail == "" || len(err.Raw) > decoding.MaxRawBytes {
				t.Fatalf("bad record without object or detail, or with too many bytes: %.300v", err)
			}
			all = append(all, outcome{raw: string(err.Raw), index: err.Index, offset: err.Offset, reason: err.Reason, cut: err.Cut, detail: err.Detail})
		default:
			if err != io.EOF {
				t.Fatalf("Next: %v, want nil, a *BadRecord or io.EOF", err)
			}
			if again := r.Next(&ev); again != io.EOF {
				t.Fatalf("Next after io.EOF: %v", again)
			}
			return all
		}
		if len(all) > most {
			t.Fatalf("more than %d events and bad records: the Reader does not come to an end", most)
		}
	}
}

func read(t testing.TB, text string) []outcome {
	t.Helper()
	return readAll(t, NewReader(strings.NewReader(text), "object", decoding.Limits{}), len(text)+1)
}

// events and faults part the outcomes.
func parted(all []outcome) (events, faults []outcome) {
	for _, o := range all {
		if o.reason == "" {
			events = append(events, o)
		} else {
			faults = append(faults, o)
		}
	}
	return events, faults
}

func raws(all []outcome) []string {
	list := make([]string, len(all))
	for i, o := range all {
		list[i] = o.raw
	}
	return list
}

// mustBe compares the events with the records wanted, byte for byte and in
// order, and wants no bad record.
func mustBe(t *testing.T, all []outcome, want ...string) {
	t.Helper()
	events, faults := parted(all)
	for _, f := range faults {
		t.Errorf("bad record: %s: %s (%.80q)", f.reason, f.detail, f.raw)
	}
	if got := raws(events); !slices.Equal(got, want) {
		t.Errorf("%d events, want %d:\n%.300q\nwant\n%.300q", len(got), len(want), got, want)
	}
}

// list joins records to a CloudTrail file.
func list(records ...string) string { return `{"Records":[` + strings.Join(records, ",") + `]}` }

// short returns a small event: enough for what is about records, not fields.
func short(i int) string {
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"s3.amazonaws.com"},"eventTime":"2026-03-02T09:00:%02dZ",`+
		`"eventSource":"kms.amazonaws.com","eventName":"Decrypt","requestParameters":{"encryptionContext":{"a{[\"":"}]"},"n":-1.5e3},`+
		`"eventID":"id-%d","readOnly":true,"resources":[{"accountId":"1","ARN":"arn:aws:kms:eu-central-1:1:key/k"},{"ARN":"b"}],"eventCategory":"Management"}`, i%60, i)
}

func shorts(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, short(i))
	}
	return all
}

func zip(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func fileOf(n int) string {
	var all []string
	for i := range n {
		all = append(all, schematest.Decrypt(i))
	}
	return list(all...)
}
