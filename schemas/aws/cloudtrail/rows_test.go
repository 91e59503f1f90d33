package cloudtrail

import (
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	"keytrail/schemas/internal/schematest"
)

// The rows of docs/coverage.md that are about envelopes and files. The comment
// of each test stands in that page.

// eachEvent reads an object and gives its events, which must be want in number and
// without a bad record.
func eachEvent(t *testing.T, text string, want int, f func(i int, ev *Event)) {
	t.Helper()
	r, ev, n := NewReader(strings.NewReader(text), "object", decoding.Limits{}), Event{}, 0
	for ; r.Next(&ev) == nil; n++ {
		f(n, &ev)
	}
	if n != want {
		t.Errorf("%d events, want %d", n, want)
	}
}

// TestRowA16BrokenNeighbours: a documented event with unbalanced braces and one with a name twice cost themselves; their neighbours are read.
func TestRowA16BrokenNeighbours(t *testing.T) {
	twice := `{"eventVersion":"1.08","eventName":"CreateGrant","requestParameters":{"retiringPrincipal":"a","retiringPrincipal":"a"}}`
	unbalanced := `{"eventVersion":"1.08","userIdentity":{"type":"AWSService","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt"}`
	events, faults := parted(read(t, short(1)+"\n"+twice+"\n"+unbalanced+"\n"+short(2)))
	if len(events) != 2 || events[0].raw != short(1) || events[1].raw != short(2) {
		t.Errorf("%d events", len(events))
	}
	if len(faults) != 2 || faults[0].reason != decoding.ReasonDuplicateKey || faults[1].raw == "" || faults[1].index != 2 {
		t.Errorf("faults %+v", faults)
	}
}

// TestRowC1LookupEvents: what LookupEvents answers, as the API and as the command line print it, gives the events inside its strings.
func TestRowC1LookupEvents(t *testing.T) {
	item := func(i int) string {
		return fmt.Sprintf(`{"EventId":"e%d","EventName":"Decrypt","ReadOnly":"true","AccessKeyId":"ASIAQRSTUVWXYZ012345","EventTime":1772442764.0,"EventSource":"kms.amazonaws.com",`+
			`"Username":"payments","Resources":[{"ResourceType":"AWS::KMS::Key","ResourceName":"arn:aws:kms:eu-central-1:111122223333:key/other"},{"ResourceType":"AWS::KMS::Key","ResourceName":"other"}],`+
			`"CloudTrailEvent":%s}`, i, quoted(schematest.Decrypt(i)))
	}
	page := `{"Events":[` + item(0) + `,` + item(1) + `],"NextToken":"n"}`
	for _, text := range []string{page, pretty(page), item(0) + "\n" + item(1)} {
		eachEvent(t, text, 2, func(i int, ev *Event) {
			// The key is the event's own, not what the list of resources around it says.
			if string(ev.Raw) != schematest.Decrypt(i) || len(ev.Resources) != 1 || strings.HasSuffix(ev.Resources[0].ARN, "other") {
				t.Errorf("event %d: %s, resources %v", i, ev.Raw, ev.Resources)
			}
		})
	}
}

// TestRowC2TrailFiles: files of a trail that records all Regions and accounts give each record its own Region and account, gzip or not.
func TestRowC2TrailFiles(t *testing.T) {
	regions, accounts := []string{"eu-central-1", "us-east-1", "cn-north-1"}, []string{"111122223333", "444455556666"}
	var records []string
	for i := range 6 {
		records = append(records, fmt.Sprintf(`{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":%q,"recipientAccountId":%q}`, regions[i%3], accounts[i%2]))
	}
	for _, text := range []string{list(records...), zip(t, list(records...))} {
		eachEvent(t, text, 6, func(i int, ev *Event) {
			if ev.Region != regions[i%3] || ev.RecipientAccount != accounts[i%2] || string(ev.Raw) != records[i] || ev.Index != i {
				t.Errorf("event %d: %q, %q, index %d", i, ev.Region, ev.RecipientAccount, ev.Index)
			}
		})
	}
}

// TestRowC9EventBridge: API calls come out of EventBridge as they are; KMS's own events become internal operations with key, rotation and material.
func TestRowC9EventBridge(t *testing.T) {
	call := `{"version":"0","id":"i","detail-type":"AWS API Call via CloudTrail","source":"aws.kms","account":"111122223333","time":"2026-03-02T09:00:00Z","region":"eu-central-1","resources":[],"detail":` + schematest.Decrypt(1) + `}`
	eachEvent(t, call, 1, func(_ int, ev *Event) {
		if string(ev.Raw) != schematest.Decrypt(1) {
			t.Errorf("%s", ev.Raw)
		}
	})
	const arn = "arn:aws:kms:eu-central-1:111122223333:key/k"
	for kind, f := range map[string]struct {
		detail string
		want   Service
	}{
		"KMS CMK Rotation": {`{"key-id":"k","key-origin":"AWS_KMS","rotation-type":"ON_DEMAND","previous-key-material-id":"a","current-key-material-id":"b"}`,
			Service{KeyID: "k", KeyOrigin: "AWS_KMS", RotationType: "ON_DEMAND", PreviousMaterialID: "a", CurrentMaterialID: "b"}},
		"KMS Imported Key Material Expiration": {`{"key-id":"k"}`, Service{KeyID: "k"}},
		"KMS CMK Deletion":                     {`{"key-id":7}`, Service{}},
	} {
		text := `{"version":"0","id":"i","detail-type":"` + kind + `","source":"aws.kms","account":"111122223333","time":"2026-03-02T09:00:00Z","region":"eu-central-1","resources":["` + arn + `"],"detail":` + f.detail + `}`
		eachEvent(t, text, 1, func(_ int, ev *Event) {
			if ev.Service != f.want || ev.Name != kind || ev.Type != "AwsServiceEvent" || ev.Resources[0].ARN != arn || string(ev.Raw) != text {
				t.Errorf("%s: %+v", kind, ev)
			}
		})
	}
}

// TestRowD2LargestRecord: a record whose every part has CloudTrail's largest size passes the default bounds, with all of its bytes.
func TestRowD2LargestRecord(t *testing.T) {
	part := func(name string, kB int) string { return `"` + name + `":{"x":"` + strings.Repeat("x", kB<<10) + `"}` }
	record := `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"PutKeyPolicy","userAgent":"` + strings.Repeat("x", 1<<10) + `",` +
		strings.Join([]string{part("requestParameters", 100), part("responseElements", 100), part("serviceEventDetails", 100), part("additionalEventData", 28)}, ",") + `}`
	mustBe(t, read(t, list(short(1), record, short(2))), short(1), record, short(2))
}

// TestRowD3InsightFiles: a file of Insights records is read, with the id that its start and its end share.
func TestRowD3InsightFiles(t *testing.T) {
	record := func(state string) string {
		return `{"eventVersion":"1.08","eventTime":"2026-03-02T09:12:00Z","awsRegion":"eu-central-1","eventID":"` + state + `","eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333",` +
			`"sharedEventID":"s","insightDetails":{"state":"` + state + `","eventSource":"kms.amazonaws.com","eventName":"CreateGrant","insightType":"ApiCallRateInsight"},"eventCategory":"Insight"}`
	}
	eachEvent(t, zip(t, list(record("Start"), record("End"))), 2, func(i int, ev *Event) {
		// The service and the operation inside insightDetails are not the record's own.
		if ev.Type != "AwsCloudTrailInsight" || ev.Category != "Insight" || ev.SharedID != "s" || ev.Source != "" || ev.Name != "" {
			t.Errorf("record %d: %+v", i, ev)
		}
	})
}

// TestRowD4Digests: a digest file, also the first one and that of an hour without events, holds no events and is not a fault.
func TestRowD4Digests(t *testing.T) {
	digest := func(files, previous, oldest string) string {
		return `{"awsAccountId":"111122223333","digestStartTime":"2026-03-02T08:12:44Z","digestEndTime":"2026-03-02T09:12:44Z","digestS3Bucket":"logs","digestS3Object":"AWSLogs/111122223333/CloudTrail-Digest/d.json.gz",` +
			`"newestEventTime":` + oldest + `,"oldestEventTime":` + oldest + `,"previousDigestS3Bucket":` + previous + `,"previousDigestHashValue":` + previous + `,"previousDigestSignature":` + previous + `,` +
			`"digestPublicKeyFingerprint":"f","digestSignatureAlgorithm":"SHA256withRSA","logFiles":[` + files + `]}`
	}
	file := `{"s3Bucket":"logs","s3Object":"AWSLogs/f.json.gz","hashValue":"h","hashAlgorithm":"SHA-256","newestEventTime":"2026-03-02T09:00:00Z","oldestEventTime":"2026-03-02T08:59:00Z"}`
	for name, text := range map[string]string{
		"usual": digest(file+","+file, `"p"`, `"2026-03-02T09:00:00Z"`), "first": digest(file, "null", `"2026-03-02T09:00:00Z"`), "empty hour": digest("", `"p"`, "null"),
	} {
		for _, text := range []string{text, zip(t, text)} {
			r := NewReader(strings.NewReader(text), "object", decoding.Limits{})
			if all := readAll(t, r, 1); len(all) != 0 || r.NotEvents != 1 {
				t.Errorf("%s: %+v, %d not events", name, all, r.NotEvents)
			}
		}
	}
}

// TestRowD8OutOfTimeOrder: records come in the order of the file, not of their times, and with their own times.
func TestRowD8OutOfTimeOrder(t *testing.T) {
	times := []string{"2026-03-02T09:12:44Z", "2026-03-02T09:02:38Z", "2026-03-02T09:12:43Z", "2026-03-02T08:59:59Z"}
	var records []string
	for _, at := range times {
		records = append(records, strings.Replace(schematest.Decrypt(0), "2026-03-02T09:00:00Z", at, 1))
	}
	eachEvent(t, list(records...), 4, func(i int, ev *Event) {
		if ev.Time != times[i] || ev.Index != i {
			t.Errorf("event %d: time %s, index %d", i, ev.Time, ev.Index)
		}
	})
}

// TestRowS14MixedVersions: records of several versions in one file are each read by their own fields.
func TestRowS14MixedVersions(t *testing.T) {
	old := `{"eventVersion":"1.02","eventSource":"kms.amazonaws.com","eventName":"Decrypt","resources":[{"ARN":"arn:aws:kms:eu-central-1:1:key/k","accountId":"1"}]}`
	middle := `{"eventVersion":"1.05","eventSource":"kms.amazonaws.com","eventName":"RotateKey","serviceEventDetails":{"keyId":"k"}}`
	late := `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","managementEvent":true,"tlsDetails":{"tlsVersion":"TLSv1.3","keyExchange":"X25519MLKEM768"},"additionalEventData":{"keyMaterialId":"m"}}`
	eachEvent(t, list(late, old, middle, late, old), 5, func(i int, ev *Event) {
		want := [...]string{"1.11//X25519MLKEM768/m/", "1.02/arn:aws:kms:eu-central-1:1:key/k///", "1.05////k"}[[...]int{0, 1, 2, 0, 1}[i]]
		arn := ""
		if len(ev.Resources) > 0 {
			arn = ev.Resources[0].ARN
		}
		if got := strings.Join([]string{ev.Version, arn, ev.TLS.KeyExchange, ev.Extra.KeyMaterialID, ev.Service.KeyID}, "/"); got != want {
			t.Errorf("event %d: %q, want %q", i, got, want)
		}
	})
}
