package cli_test

import (
	"encoding/json"
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
