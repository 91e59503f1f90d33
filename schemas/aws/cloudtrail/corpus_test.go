package cloudtrail

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// corpusRead reads a collected file and holds every event to encoding/json and
// to its place in the file.
func corpusRead(t *testing.T, name string, text []byte) (events, kms int, reasons string) {
	t.Helper()
	r, ev := NewReader(bytes.NewReader(text), name, decoding.Limits{}), Event{}
	var faults []string
	for range len(text) + 2 {
		switch err := r.Next(&ev).(type) {
		case nil:
			events++
			if ev.Source == "kms.amazonaws.com" {
				kms++
			}
			if ev.Version != "eventbridge" {
				if diff := judge(bytes.Clone(ev.Raw)); diff != "" {
					t.Errorf("%s: event %d: %s", name, ev.Index, diff)
				}
			}
			if at := text[ev.Offset:]; !bytes.HasPrefix(at, ev.Raw) && !bytes.HasPrefix(at, []byte("{")) {
				t.Errorf("%s: event %d does not stand at %d", name, ev.Index, ev.Offset)
			}
		case *decoding.BadRecord:
			faults = append(faults, string(err.Reason))
		default:
			return events, kms, strings.Join(faults, " ")
		}
	}
	t.Fatalf("%s: the Reader does not come to an end", name)
	return 0, 0, ""
}

// TestCorpus reads the events that others published. The numbers were counted
// with other tools.
func TestCorpus(t *testing.T) {
	f := func(name string, wantEvents, wantKMS int, wantFaults string) {
		t.Helper()
		if events, kms, faults := corpusRead(t, name, schematest.File(t, name)); events != wantEvents || kms != wantKMS || faults != wantFaults {
			t.Errorf("%s: %d events, %d of KMS, bad records %q; want %d, %d, %q", name, events, kms, faults, wantEvents, wantKMS, wantFaults)
		}
	}
	f("invictus-ir/kms_events.ndjson", 240, 240, "")
	f("awsdocs-kms-developer-guide/kms_events.ndjson", 68, 68, "")
	f("seeds/kms_events.ndjson", 7, 7, "duplicate_key")
	f("shapes-2025/kms_events_2025_shape_exemplars.ndjson", 3, 3, "")
	f("shapes-2025/rotatekey_2025_and_eventbridge.ndjson", 2, 2, "")
	f("streamalert/kms_events.ndjson", 2, 2, "")
	f("traildiscover/CreateKey.json.cloudtrail", 1, 1, "")
	f("traildiscover/DescribeKey.json.cloudtrail", 1, 1, "")
	f("panther-analysis/panther-analysis_rule_tests.ndjson", 14, 10, "")
	f("seeds/malformed_decrypt_000.txt", 0, 0, "truncated")
	malformed, err := filepath.Glob(filepath.Join(schematest.DataDir(t), "awsdocs-kms-developer-guide/malformed/*.txt"))
	if err != nil || len(malformed) != 7 {
		t.Fatalf("%d malformed samples, want 7 (%v)", len(malformed), err)
	}
	for _, path := range malformed {
		f("awsdocs-kms-developer-guide/malformed/"+filepath.Base(path), 0, 0, "bad_json")
	}
	// Other clouds' logs are JSON, and no events.
	f("azure-keyvault/microsoftdocs_auditevent.json", 0, 0, "unknown_shape")
}

// TestCorpusTrail reads a trail as CloudTrail delivered it, plain, gzip, and all
// of its files end to end.
func TestCorpusTrail(t *testing.T) {
	files, events, kms := 0, 0, 0
	var whole bytes.Buffer
	for name, text := range schematest.Trail(t) {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		files++
		n, k, faults := corpusRead(t, name, text)
		if faults != "" {
			t.Errorf("%s: bad records %q", name, faults)
		}
		packed := readAll(t, NewReader(strings.NewReader(zip(t, string(text))), "object", decoding.Limits{}), len(text))
		if len(packed) != n {
			t.Errorf("%s: %d events, from gzip %d", name, n, len(packed))
		}
		events, kms = events+n, kms+k
		whole.Write(text)
	}
	if files != 55 || events != 2900 || kms != 240 {
		t.Errorf("%d files with %d events, %d of KMS; want 55, 2,900, 240", files, events, kms)
	}
	if n, k, faults := corpusRead(t, "end to end", whole.Bytes()); n != events || k != kms || faults != "" {
		t.Errorf("end to end: %d events, %d of KMS, bad records %q", n, k, faults)
	}
}
