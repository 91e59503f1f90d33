package rule_test

import (
	"testing"
	"time"

	"keytrail/processor/rule"
	"keytrail/processor/source/aws/digest"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Every finding about a trail's digests is a blind spot, with a sentence.
func TestFindingsOfDigests(t *testing.T) {
	for _, kind := range []digest.Kind{digest.DigestInvalid, digest.DigestMissing, digest.DigestChanged,
		digest.LogFileMissing, digest.LogFileChanged, digest.LogFileExtra} {
		f := digest.Finding{Kind: kind, Account: "111122223333", Region: "eu-central-1", At: time.Unix(1_800_000_000, 0), Digest: "d", Object: "o", Detail: "x"}
		var ev cloudtrail.Event
		if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode(f.AppendEvent(nil), &ev); err != nil {
			t.Fatal(err)
		}
		var rec otellog.Record
		if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); !ok || err != nil {
			t.Fatalf("%s is not wanted: %v", kind, err)
		}
		if rec.EventName != semconv.EventAWSCloudTrailTrailChange || rec.Severity != otellog.SeverityWarn4 {
			t.Errorf("%s is a %s of severity %v", kind, rec.EventName, rec.Severity)
		}
		list := rule.Match(&rec, kms.ClassTrail, kms.OutcomeOK).Rules()
		if len(list) != 1 || list[0].Name != "trail_tampered" || list[0].What(&rec) == "" {
			t.Errorf("%s matches %v", kind, list)
		}
	}
}
