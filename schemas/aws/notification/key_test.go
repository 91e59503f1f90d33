package notification

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestParseKey(t *testing.T) {
	f := func(key string, kind FileKind, want KeyFault) {
		t.Helper()
		got, fault := ParseKey(key)
		if fault != want || fault == "" && got.Kind != kind {
			t.Errorf("%s is %s with fault %q, want %s and %q", key, got.Kind, fault, kind, want)
		}
	}
	const log = "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T0905Z_AbCd0123456789xy.json.gz"
	const digest = "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/11/20/111122223333_CloudTrail-Digest_eu-central-1_my_trail_us-east-1_20261120T090500Z.json.gz"
	ok := func(key string, kind FileKind) { t.Helper(); f(key, kind, "") }
	ok(log, FileLog)
	ok("org/a b/AWSLogs/"+log, FileLog) // a prefix may be anything
	ok(strings.Replace(log, "AWSLogs/", "AWSLogs/o-abc123/", 1), FileLog)
	ok(strings.Replace(log, "AWSLogs/", "o-abc123/AWSLogs/o-abc123/", 1), FileLog) // as Control Tower has it
	for _, region := range []string{"cn-north-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1", "ap-southeast-7"} {
		ok(strings.ReplaceAll(log, "eu-central-1", region), FileLog)
	}
	ok(strings.ReplaceAll(log, "CloudTrail", "CloudTrail-Insight"), FileInsight)
	ok(strings.ReplaceAll(log, "CloudTrail", "CloudTrail-NetworkActivity"), FileNetworkActivity)
	ok(strings.ReplaceAll(log, "CloudTrail", "CloudTrail-Aggregated"), FileAggregate)
	ok(digest, FileDigest)
	ok(strings.Replace(digest, "Z.json", "Z_backfill.json", 1), FileDigest)
	ok(strings.Replace(log, "_20261120T0905Z", "_20261119T2358Z", 1), FileLog) // about midnight
	ok(strings.Replace(log, "_20261120T0905Z", "_20261121T0002Z", 1), FileLog)

	bad := func(key string, fault KeyFault) { t.Helper(); f(key, "", fault) }
	bad("AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/", KeyFolder)
	bad("", KeyFolder)
	for _, key := range []string{
		"README.txt",
		"AWSLogs/111122223333/CloudTrail/eu-central-1/README.txt",
		"AWSLogs/111122223333/CloudTrail/eu-central-1/backup/x.json.gz",
		"AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/notes.json.gz",
		"AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/sub" + log[strings.LastIndex(log, "/"):],
		strings.TrimSuffix(log, ".gz"),
		log + ".bak",
		log + ".1",
		strings.TrimSuffix(log, ".json.gz") + ".gz",
		strings.Replace(log, "_AbCd", "_-AbCd", 1),
		strings.Replace(log, "_AbCd0123456789xy", "", 1),
		strings.Replace(log, "T0905Z", "T2560Z", 1),
		strings.Replace(log, "/2026/11/20/", "/2026/13/20/", 1),
		strings.Replace(log, "/2026/11/20/", "/2026/1/20/", 1),
		strings.Replace(log, "AWSLogs", "awslogs", 1),
		strings.Replace(log, "AWSLogs/", "AWSLogs/team/", 1),
		strings.Replace(log, "111122223333/CloudTrail", "backup/CloudTrail", 1),
		strings.ReplaceAll(log, "CloudTrail", "CloudTrail-Lake"),
		strings.Replace(log, "eu-central-1/", "backup/", 1),
		strings.Replace(digest, "_us-east-1_2026", "_2026", 1)[:20] + "x",
		strings.Replace(digest, "T090500Z", "T0905Z", 1),
	} {
		bad(key, KeyForeign)
	}
	bad(strings.Replace(log, "/2026/11/20/", "/2026/11/22/", 1), KeyMisplaced)
	bad(strings.Replace(log, "/2026/11/20/", "/9999/12/31/", 1), KeyMisplaced)
	bad(strings.Replace(log, "_eu-central-1_", "_eu-west-1_", 1), KeyMisplaced)
	bad(strings.Replace(log, "/111122223333_", "/444455556666_", 1), KeyMisplaced)
	bad(strings.Replace(log, "_CloudTrail_", "_CloudTrail-Insight_", 1), KeyMisplaced)
}

// In the folder of a Region the order of keys is the order of Delivered.
func TestDeliveredIsInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() string {
		day := time.Date(2026, 11, 20+rng.IntN(3), 0, 0, 0, 0, time.UTC)
		at := day.Add(time.Duration(rng.IntN(26*60)-60) * time.Minute)
		return fmt.Sprintf("AWSLogs/1/CloudTrail/eu-central-1/%s/1_CloudTrail_eu-central-1_%s_%d.json.gz", day.Format("2006/01/02"), at.Format("20060102T1504Z"), rng.IntN(10))
	}
	for range 100_000 {
		a, b := key(), key()
		fa, faultA := ParseKey(a)
		fb, faultB := ParseKey(b)
		if faultA != "" || faultB != "" {
			t.Fatalf("%s %q %s %q", a, faultA, b, faultB)
		}
		if a < b && fa.Delivered().After(fb.Delivered().Add(maxSkew)) {
			t.Fatalf("%s comes first and was delivered later than %s", a, b)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T0905Z_x.json.gz")
	f.Add("AWSLogs//CloudTrail///")
	f.Fuzz(func(t *testing.T, key string) {
		got, fault := ParseKey(key)
		if fault != "" {
			if fault.Detail() == "" {
				t.Errorf("no detail of %q", fault)
			}
			return
		}
		if !strings.HasSuffix(key, ".json.gz") || got.Kind == FileOther || got.Account == "" || got.Region == "" || got.Stamp.IsZero() || got != FileOf(key) {
			t.Errorf("%q is taken for %+v", key, got)
		}
	})
}
