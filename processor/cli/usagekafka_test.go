package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestUsageOfTopic: usage of Kafka's events equals that of the files that went there.
func TestUsageOfTopic(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config := b.config(t)
	p := run(t, config, "")
	p.ready(t)
	text := life{uses: []int{100, 3}, more: on(50, "CreateGrant", `"responseElements":{"grantId":"g"},"requestParameters":{"granteePrincipal":"x"},`)}.json()
	var records [][]byte
	for _, line := range lines(text) {
		records = append(records, []byte(line))
	}
	b.produce(t, append(records, records[:20]...)) // some of them twice
	until(t, "the topic has all records", func() bool {
		return strings.Count(keytrail(t, nil, "tap", "-c", config, "events").stdout, "\n") == len(records)+20
	})
	parsed := func(out string) (list []map[string]any) {
		for _, line := range lines(out) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatal(err)
			}
			delete(one, "inputs") // of files only
			list = append(list, one)
		}
		return list
	}
	want := parsed(keytrail(t, strings.NewReader(text), "usage", "-").wants(t, 0).stdout)
	got := parsed(keytrail(t, nil, "usage", "-c", config).wants(t, 0, "20 duplicates").stdout)
	if !reflect.DeepEqual(got, want) || len(want) != 2 {
		t.Errorf("Kafka gives\n%v\nwant\n%v", got, want)
	}
}

// TestLookupInTopic: lookup in Kafka finds what it finds in the files that went there, in the same order.
func TestLookupInTopic(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 41, 600)
	config := b.config(t)
	p := run(t, config, "")
	p.ready(t)
	b.produce(t, tr.records)
	text := string(bytes.Join(tr.records, []byte("\n")))
	find := func(args ...string) string {
		return keytrail(t, strings.NewReader(text), append([]string{"lookup", "-o", "original"}, args...)...).wants(t, 0).stdout
	}
	all := find("-")
	until(t, "the topic has all records", func() bool { return find("-c", config) == all })
	for _, flags := range []string{"", "--attribute EventName=Decrypt --limit 20", "--error *", "--principal arn:aws:iam::111122223333:role/ --attribute ReadOnly=true", "--since 2026-01-01T00:00:00Z"} {
		args := append([]string{"lookup", "-o", "original"}, strings.Fields(flags)...)
		want := keytrail(t, strings.NewReader(text), append(args, "-")...).wants(t, 0).stdout
		got := keytrail(t, nil, append(args, "-c", config)...).wants(t, 0, "of topic kms.events").stdout
		if got != want || want == "" {
			t.Errorf("lookup %s finds %d events in Kafka, want %d", flags, strings.Count(got, "\n"), strings.Count(want, "\n"))
		}
	}
	keytrail(t, nil, "lookup", "-c", config, "trail/").wants(t, 2, "give one of them")
}

// TestLedgerTopic: the ledgers in kms.keys have the life cycles that scan --keys finds in the files.
func TestLedgerTopic(t *testing.T) {
	heavy(t)
	b := startBroker(t)
	config := b.config(t)
	p := run(t, config, "")
	p.ready(t)
	text := life{uses: []int{100, 3}, more: on(50, "CreateGrant", `"responseElements":{"grantId":"g"},"requestParameters":{"granteePrincipal":"x"},`)}.json()
	var records [][]byte
	for _, line := range lines(text) {
		records = append(records, []byte(line))
	}
	ledgers := func(out string) map[string]string {
		all := map[string]string{}
		for _, line := range lines(out) {
			if _, r := parse(t, line); r.EventName == "keytrail.key_state" {
				all[r.str("aws.kms.key.arn")] = fmt.Sprint(r.str("keytrail.key.state"), r.str("keytrail.key.created"), r.int("keytrail.key.grants.open"))
			}
		}
		return all
	}
	want := ledgers(keytrail(t, strings.NewReader(text), "scan", "--keys", "--windows", "none", "-").wants(t, 0).stdout)
	b.produce(t, records)
	until(t, "the ledgers are in the topic", func() bool {
		return reflect.DeepEqual(ledgers(keytrail(t, nil, "tap", "-c", config, "keys", "-o", "json").stdout), want)
	})
	if len(want) < 2 {
		t.Errorf("%v", want)
	}
}
