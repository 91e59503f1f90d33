package anomaly_test

import (
	"slices"
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/rule"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// fromRules decodes, normalizes and judges an event.
func fromRules(t *testing.T, event string) []anomaly.Anomaly {
	t.Helper()
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(event), &ev); err != nil {
		t.Fatal(err)
	}
	var rec otellog.Record
	if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); !ok || err != nil {
		t.Fatalf("the event is not taken: %v, %v", ok, err)
	}
	var c count.Call
	count.FromRecord(&rec, &c)
	own := c.Clone()
	list := anomaly.FromRules(&rec, c.Rules, wire.Entity{Scope: wire.ScopePair, Key: own.Key, Principal: own.Principal}, begin, size)
	clear(ev.Raw) // findings must not be views into the event
	return list
}

const policy = `{"eventVersion":"1.11","userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},
"eventTime":"2026-03-02T00:01:02Z","eventSource":"kms.amazonaws.com","eventName":"PutKeyPolicy","awsRegion":"eu-central-1","eventID":"00000000-0000-4000-8000-000000000001",
"requestParameters":{"bypassPolicyLockoutSafetyCheck":true},"resources":[{"ARN":"arn:aws:kms:eu-central-1:111122223333:key/1"}],"recipientAccountId":"111122223333"}`

func TestFromRules(t *testing.T) {
	list, again := fromRules(t, policy), fromRules(t, policy)
	other := fromRules(t, strings.Replace(policy, "000000000001", "000000000002", 1))
	if len(list) != 2 || len(again) != 2 || len(other) != 2 {
		t.Fatalf("anomalies %+v", list)
	}
	s := compile(t, semconv.EventKeytrailAnomaly)
	want := []string{
		"arn:aws:iam::111122223333:root set a key policy without the check that keeps its owner from being locked out (KMS key arn:aws:kms:eu-central-1:111122223333:key/1).",
		"arn:aws:iam::111122223333:root used the account's root identity for PutKeyPolicy (KMS key arn:aws:kms:eu-central-1:111122223333:key/1).",
	}
	var rec otellog.Record
	for i, a := range list {
		if a.Kind != anomaly.KindRule || a.Reason != want[i] || a.Start != begin || a.End != begin+size || a.Observed != 1 ||
			!slices.Equal(a.Calls, []string{"00000000-0000-4000-8000-000000000001"}) || a.Severity() != "high" {
			t.Errorf("anomaly %+v", a)
		}
		if a.ID != again[i].ID || a.ID == other[i].ID || a.ID == list[1-i].ID {
			t.Errorf("id %s; of the same event %s, of another %s", a.ID, again[i].ID, other[i].ID)
		}
		anomaly.AnomalyRecord(&rec, &a, 0)
		validate(t, s, &rec)
	}
	stopped := strings.NewReplacer("kms.amazonaws.com", "cloudtrail.amazonaws.com", "PutKeyPolicy", "StopLogging", `"bypass`, `"name":"main","bypass`, `"Root"`, `"IAMUser"`, ":root", ":user/eve").Replace(policy)
	list = fromRules(t, stopped)
	if len(list) != 1 || list[0].Kind != anomaly.KindBlindSpot || list[0].Reason != "arn:aws:iam::111122223333:user/eve stopped the logging of main." || list[0].Severity() != "critical" {
		t.Fatalf("anomalies %+v", list)
	}
	anomaly.AnomalyRecord(&rec, &list[0], 0)
	validate(t, s, &rec)
	if len(rec.Resource) < 2 || rec.Resource[1].Str != "111122223333" {
		t.Errorf("the account is missing: %v", rec.Resource)
	}
	if list := anomaly.FromRules(&rec, rule.Set(0), keyOf(1), begin, size); list != nil {
		t.Errorf("no rule gives %v", list)
	}
}
