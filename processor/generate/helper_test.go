package generate_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// record is a generated record, decoded.
type record struct {
	generate.Event
	fields map[string]any
}

// at returns the value at a path such as "userIdentity.type", or nil.
func (r record) at(path string) any {
	var value any = r.fields
	for name := range strings.SplitSeq(path, ".") {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[name]
	}
	return value
}

// text returns the string at a path, or "".
func (r record) text(path string) string {
	s, _ := r.at(path).(string)
	return s
}

// callID returns the id under which the record's call counts.
func (r record) callID() string {
	if shared := r.text("sharedEventID"); shared != "" {
		return shared
	}
	return r.text("eventID")
}

// keyARN returns the KMS key of the record: its first target, else what the
// request names.
func (r record) keyARN() string {
	if list, ok := r.at("resources").([]any); ok && len(list) > 0 {
		arn, _ := list[0].(map[string]any)["ARN"].(string)
		return arn
	}
	return r.text("requestParameters.keyId")
}

// principal returns the record's principal in the labels' form.
func (r record) principal() string {
	switch r.text("userIdentity.type") {
	case "AssumedRole":
		return r.text("userIdentity.sessionContext.sessionIssuer.arn")
	case "AWSAccount":
		return "account:" + r.text("userIdentity.accountId")
	case "AWSService", "":
		return r.text("userIdentity.invokedBy")
	}
	return r.text("userIdentity.arn")
}

// makeTrail returns a generator or fails the test.
func makeTrail(t *testing.T, c generate.Config) *generate.Generator {
	t.Helper()
	g, err := generate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// records decodes a whole trail. With once, it omits second deliveries.
func records(t *testing.T, g *generate.Generator, once bool) []record {
	t.Helper()
	var list []record
	seen := map[string]bool{}
	for event := range g.Events() {
		r := record{Event: event}
		if err := json.Unmarshal(event.JSON, &r.fields); err != nil {
			t.Fatalf("cannot decode %s: %v", event.JSON, err)
		}
		if id := r.text("eventID"); !once || !seen[id] {
			seen[id] = true
			list = append(list, r)
		}
	}
	return list
}

// demo is the trail of the demo: three days, twenty keys.
func demo(seed uint64) generate.Config {
	return generate.Config{Seed: seed, Duration: 72 * time.Hour, Events: 60_000}
}
