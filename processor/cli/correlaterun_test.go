package cli_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// correlationRules have one correlation with overlapping windows, and one without.
const correlationRules = `title: Refused
name: refused
level: low
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventSource: kms.amazonaws.com, errorCode|contains: denied}, condition: s}
---
title: Decrypts
name: decrypts
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventName: Decrypt, 'requestID|startswith': ['0', '1']}, condition: s}
---
title: Many refused
id: c-refused
correlation: {type: event_count, rules: [refused], group-by: [userIdentity.accountId], timespan: 1h, condition: {gte: 2}}
level: high
---
title: Few decrypts
id: c-few
correlation: {type: event_count, rules: [decrypts], timespan: 30m, condition: {lte: 2}}
---
title: Decrypts with many keys
id: c-keys
correlation: {type: value_count, rules: [decrypts], group-by: [recipientAccountId], timespan: 2h, condition: {gte: 3, field: resources.ARN}}
---
title: Refused after a decrypt
id: c-then
correlation: {type: temporal_ordered, rules: [decrypts, refused], group-by: [recipientAccountId], timespan: 4h}
`

// correlationsOf are the anomalies of correlationRules among lines of a scan or a
// sink, by id.
func correlationsOf(list []record) (found map[string]string, times map[string]int) {
	found, times = map[string]string{}, map[string]int{}
	for _, r := range list {
		if r.EventName == anomalyEvent && strings.HasPrefix(r.str("keytrail.anomaly.detector"), "sigma/c-") {
			id := r.str("keytrail.anomaly.id")
			if r.str("keytrail.anomaly.state") == "ended" {
				continue
			}
			times[id]++
			found[id] = fmt.Sprint(r.str("keytrail.anomaly.reason"), r.attrs["keytrail.anomaly.calls"], r.str("aws.kms.key.arn"), r.str("keytrail.principal.id"))
		}
	}
	return found, times
}

// Processes killed within a transaction find the same correlations as a scan of the same
// trail: each is published once, with the same calls, and explain shows it.
func TestRunCorrelations(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 35, 3000)
	rules := write(t, inTemp(t, "rules.yml"), correlationRules)
	want := scannedCorrelations(t, rules, tr)
	archive := inTemp(t, "archive.ndjson")
	// No source may count as silent: its later records would be late.
	text := strings.Replace(fmt.Sprintf(pipelineConfig, b.address, strings.ReplaceAll(fileSink, "${ARCHIVE}", archive)), "idle_after: 1s", "idle_after: 1h", 1)
	config := write(t, inTemp(t, "keytrail.yaml"), text+fmt.Sprintf("rules: {sigma: [%q]}\n", filepath.ToSlash(rules)))
	p := b.kills(t, config, archive, tr.records, []string{"kms.partials", "kms.dedup"}, []string{"kms.state", "kms.anomalies"})
	for i := range 60 { // all partitions of kms.events get some
		b.produce(t, [][]byte{bytes.ReplaceAll(tr.closer[0], []byte(`"closer"`), fmt.Appendf(nil, `"closer-%d"`, i))})
	}
	var got map[string]string
	var times map[string]int
	until(t, "all correlations are published", func() bool {
		got, times = correlationsOf(newRecords(b.committed(t, "kms.anomalies")))
		return len(got) >= len(want)
	})
	for id, text := range want {
		if got[id] != text || times[id] != 1 {
			t.Errorf("published %d times:\n%s\nwant\n%s", times[id], got[id], text)
		}
	}
	for id, text := range got {
		if want[id] == "" {
			t.Errorf("a scan does not find %s %s", id, text)
		}
	}
	until(t, "they have arrived", func() bool {
		arrived := archived(t, archive)
		for id := range want {
			if arrived.anomalies[id] == 0 {
				return false
			}
		}
		return true
	})
	p.stop(t, syscall.SIGTERM)
	explainedCorrelation(t, want, config, archive)
}

// scannedCorrelations returns the correlations in a scan of a trail.
func scannedCorrelations(t *testing.T, rules string, tr *trail) map[string]string {
	t.Helper()
	scanned := keytrail(t, nil, "scan", "--windows", "none", "-o", "json", "--rules", rules, write(t, inTemp(t, "trail.json"), `{"Records":[`+string(bytes.Join(tr.records, []byte(",")))+`]}`)).wants(t, 0)
	var list []record
	for _, line := range lines(scanned.stdout) {
		_, rec := parse(t, line)
		list = append(list, rec)
	}
	want, _ := correlationsOf(list)
	for _, name := range []string{`"Many refused"`, `"Few decrypts"`, `"Decrypts with many keys"`, `"Refused after a decrypt"`} {
		if !strings.Contains(fmt.Sprint(want), name) {
			t.Fatalf("the scan finds nothing of %s: this tests too little", name)
		}
	}
	return want
}

// explainedCorrelation checks explain's output for a correlation's anomaly.
func explainedCorrelation(t *testing.T, want map[string]string, config, archive string) {
	t.Helper()
	for id := range want {
		topics := keytrail(t, nil, "explain", id, "-c", config).wants(t, 0).stdout
		files := keytrail(t, nil, "explain", id, "--from", archive).wants(t, 0).stdout
		if topics != files || !strings.Contains(joined(topics), "The correlation \"") || !strings.Contains(topics, "sample calls  ") ||
			!strings.Contains(joined(topics), "A correlation has its own windows: ") || strings.Contains(topics, "was not in the input") {
			t.Errorf("%s is explained by\n%s\nand\n%s", id, topics, files)
		}
		return
	}
}
