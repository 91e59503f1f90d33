package sigma

import (
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/corpus"
)

// benchRules makes n rules like the public ones for CloudTrail: nearly all name a service
// and operations, and one in ten looks at every event.
func benchRules(t testing.TB, n int) *Rules {
	t.Helper()
	services := []string{"kms", "s3", "iam", "ec2", "sts", "rds", "cloudtrail", "secretsmanager"}
	operations := []string{"Decrypt", "GenerateDataKey", "PutKeyPolicy", "ScheduleKeyDeletion", "CreateGrant", "DeleteBucket", "CreateUser", "StopLogging", "RunInstances", "AssumeRole"}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\ntitle: rule %d\nlogsource: {product: aws, service: cloudtrail}\nlevel: high\ndetection:\n", i)
		switch i % 10 {
		case 0: // any event
			fmt.Fprintf(&b, "  selection:\n    userIdentity.type: AssumedRole\n    userAgent|contains: 'scanner-%d'\n  condition: selection\n", i)
		case 1: // an operation with a condition on a nested field
			fmt.Fprintf(&b, "  selection:\n    eventSource: kms.amazonaws.com\n    eventName: %s%d\n    requestParameters.keyId|endswith: 'key/%d'\n  filter:\n    userIdentity.arn|contains: ':role/admin'\n  condition: selection and not filter\n", operations[i/10%5], i%3, i)
		case 2:
			fmt.Fprintf(&b, "  selection:\n    eventSource: kms.amazonaws.com\n    eventName: Decrypt\n    sourceIPAddress|cidr: 203.0.%d.0/24\n  condition: selection\n", i%256)
		case 3:
			fmt.Fprintf(&b, "  selection:\n    eventSource: kms.amazonaws.com\n    eventName: [Decrypt, GenerateDataKey]\n    userIdentity.arn|re: 'assumed-role/app-%d[a-z]+/'\n  condition: selection\n", i)
		default:
			fmt.Fprintf(&b, "  selection:\n    eventSource: %s.amazonaws.com\n    eventName:\n      - %s\n      - Op%d\n  ok:\n    errorCode: null\n  condition: selection and ok\n", services[i%len(services)], operations[(i/7)%len(operations)], i)
		}
	}
	var l Loader
	l.File("bench.yml", []byte(b.String()))
	rules, problems := l.Rules()
	if len(problems) > 0 || len(rules.List) != n {
		t.Fatalf("%d rules, %v", len(rules.List), problems)
	}
	return rules
}

// BenchmarkMatch matches the records of the corpus (1.4 kB of JSON on average, mostly
// Decrypt and GenerateDataKey).
func BenchmarkMatch(b *testing.B) {
	_, _, records := corpus.File(0)
	size := 0
	for _, r := range records {
		size += len(r)
	}
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			m := benchRules(b, n).NewMatcher()
			b.ReportAllocs()
			b.SetBytes(int64(size / len(records)))
			i, hits := 0, 0
			for b.Loop() {
				r, err := m.Match(records[i%len(records)])
				if err != nil {
					b.Fatal(err)
				}
				hits += len(r.Hits)
				i++
			}
			b.ReportMetric(float64(hits)/float64(i), "hits/op")
		})
	}
}

// BenchmarkNoCandidate matches the same records with rules about other operations.
func BenchmarkNoCandidate(b *testing.B) {
	_, _, records := corpus.File(0)
	var l Loader
	l.File("x.yml", []byte("title: x\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {eventSource: s3.amazonaws.com, eventName: DeleteBucket}, condition: s}\n"))
	rules, _ := l.Rules()
	m := rules.NewMatcher()
	b.Run("Match", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := m.Match(records[i%len(records)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Wants", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m.Wants("kms.amazonaws.com", "Decrypt") {
				b.Fatal("wanted")
			}
		}
	})
}
