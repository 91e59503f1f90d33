package registry_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/registry"
)

// mostAttributes is how many attributes a record may have: Loki refuses records with more
// than 128 entries of structured metadata.
const mostAttributes = 128

// FuzzCallersChooseNoName puts names and values that a caller chooses into every free map of
// an event. Whatever they are, the names of the record's attributes are the registry's, at
// every depth, and there are not too many.
func FuzzCallersChooseNoName(f *testing.F) {
	f.Add("class", "s3_object", uint16(1))
	f.Add("aws:s3:arn", "arn:aws:s3:::b/k", uint16(602))
	f.Add("keytrail.principal.id", `{"a":{"b":"c"}}`, uint16(3))
	f.Add("a.b", "\"\\\x00\u2028", uint16(2))
	f.Add(strings.Repeat("n", 3000), "v", uint16(2))
	reg, err := registry.Load(registry.Files())
	if err != nil {
		f.Fatal(err)
	}
	known := map[string]map[string]bool{} // by event
	for _, e := range reg.Events {
		known[e.Name] = map[string]bool{}
		for _, u := range e.Uses() {
			known[e.Name][u.ID] = true
		}
	}
	place := map[string]bool{}
	for _, u := range reg.Resource.Uses() {
		place[u.ID] = true
	}
	f.Fuzz(func(t *testing.T, name, value string, members uint16) {
		for _, event := range hostile(name, value, int(members)%1024) {
			for _, direct := range []bool{false, true} {
				resource, rec := published(t, event, direct)
				if resource == nil {
					continue
				}
				checkNames(t, resource, place)
				checkNames(t, rec.Attributes, known[rec.EventName])
				if n := len(resource) + len(rec.Attributes); n > mostAttributes {
					t.Errorf("the record has %d attributes: %s", n, event)
				}
			}
		}
	})
}

// hostile returns events with names and values of a caller wherever AWS takes any.
func hostile(name, value string, members int) (events [][]byte) {
	free := map[string]any{name: value}
	for i := range members {
		free[fmt.Sprint(name, i)] = value
	}
	policy, _ := json.Marshal(map[string]any{"Statement": []any{map[string]any{"Condition": map[string]any{name: free}}}})
	for _, call := range []map[string]any{
		{"eventName": "Decrypt", "requestParameters": map[string]any{"encryptionContext": free, name: value}},
		{"eventName": "ReEncrypt", "requestParameters": map[string]any{"sourceEncryptionContext": free, "destinationEncryptionContext": free}},
		{"eventName": "CreateGrant", "requestParameters": map[string]any{
			"name": name, "constraints": map[string]any{"encryptionContextSubset": free}, "operations": []any{name}}},
		{"eventName": "TagResource", "requestParameters": map[string]any{"tags": []any{map[string]any{"tagKey": name, "tagValue": value}}}},
		{"eventName": "PutKeyPolicy", "requestParameters": map[string]any{"policy": string(policy), name: free}},
		{"eventName": "Decrypt", "additionalEventData": map[string]any{"recipient": map[string]any{
			"attestationDocumentModuleId": value, "attestationDocumentEnclavePCR1": value, name: value}}},
		{"eventName": name, "errorCode": name, "errorMessage": value, "userAgent": name, "sourceIPAddress": name,
			"userIdentity": map[string]any{"type": name, "arn": value, "sessionContext": map[string]any{"webIdFederationData": map[string]any{
				"federatedProvider": name, "attributes": free}}}},
		{"eventName": "UpdateTrail", "eventSource": "cloudtrail.amazonaws.com", "requestParameters": map[string]any{"name": name, name: free}},
		{"eventName": "Decrypt", name: free},
	} {
		event := map[string]any{
			"eventVersion": "1.11", "eventTime": "2026-03-02T09:12:44Z", "eventSource": "kms.amazonaws.com", "awsRegion": "eu-central-1",
		}
		for k, v := range call {
			event[k] = v
		}
		if text, err := json.Marshal(event); err == nil {
			events = append(events, text)
		}
	}
	return events
}

// published returns the resource's attributes and the log record of an event, as a reader of
// protobuf sees them, or nil where the event is refused or filtered.
func published(t *testing.T, event []byte, direct bool) ([]*common.KeyValue, *logs.LogRecord) {
	t.Helper()
	var ev cloudtrail.Event
	if cloudtrail.NewDecoder(decoding.Limits{}).Decode(event, &ev) != nil {
		return nil, nil
	}
	var rec otellog.Record
	if ok, err := normalize.New(normalize.Options{Direct: direct}).Record(&ev, 1, &rec); !ok || err != nil {
		return nil, nil
	}
	var data logs.LogsData
	if err := proto.Unmarshal(otellog.AppendRequest(nil, &rec), &data); err != nil {
		t.Fatalf("%v: %s", err, event)
	}
	resource := data.ResourceLogs[0]
	return resource.Resource.Attributes, resource.ScopeLogs[0].LogRecords[0]
}

// checkNames checks the names of attributes and of everything within them.
func checkNames(t *testing.T, list []*common.KeyValue, known map[string]bool) {
	t.Helper()
	for _, a := range list {
		if !known[a.Key] {
			t.Errorf("the registry has no attribute %q here", a.Key)
		}
		if inner := a.Value.GetKvlistValue(); inner != nil {
			t.Errorf("%s is a map, whose names are not the registry's: %v", a.Key, inner)
		}
	}
}
