package keyledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/processor/read"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
)

const (
	account = "111122223333"
	keyID   = "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyARN  = "arn:aws:kms:eu-central-1:" + account + ":key/" + keyID
	otherID = "0987dcba-09fe-87dc-65ba-ab0987654321"
	mrk     = "mrk-1234abcd12ab34cd56ef1234567890ab"
)

func inRegion(region, id string) string {
	return "arn:aws:kms:" + region + ":" + account + ":key/" + id
}

// call is one record in the shape of AWS's documents. at is a second of 2026-03-02.
type call struct {
	at                     int
	name, request, more    string
	key                    string // an ARN in resources; "" for none
	region, role, errorCde string
}

func (c call) json() string {
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(c.at) * time.Second)
	region := "eu-central-1"
	if c.region != "" {
		region = c.region
	}
	role := "admin"
	if c.role != "" {
		role = c.role
	}
	text := fmt.Sprintf(`{"eventVersion":"1.11","eventTime":%q,"eventSource":"kms.amazonaws.com","eventName":%q,"awsRegion":%q,`+
		`"eventID":"00000000-0000-4000-8000-%012d","recipientAccountId":%q,"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::%s:user/%s","accountId":%q}`,
		at.Format(time.RFC3339), c.name, region, len(c.name)*100000+c.at, account, account, role, account)
	if c.errorCde != "" {
		text += fmt.Sprintf(`,"errorCode":%q`, c.errorCde)
	}
	if c.request != "" {
		text += `,"requestParameters":` + c.request
	}
	if c.key != "" {
		text += fmt.Sprintf(`,"resources":[{"accountId":%q,"type":"AWS::KMS::Key","ARN":%q}]`, account, c.key)
	}
	return text + c.more + "}"
}

// apply applies records of JSON to a ledger.
func apply(t testing.TB, l *keyledger.Ledger, records []string) {
	t.Helper()
	events(t, records, l.Apply)
}

// events calls f with the event of each record.
func events(t testing.TB, records []string, f func(*keyledger.Event)) {
	t.Helper()
	var c count.Call
	var e keyledger.Event
	var counts read.Counts
	in := read.NewRecords(read.Config{Counts: &counts, Record: func(_ context.Context, _ *decoding.Origin, rec *otellog.Record) error {
		count.FromRecord(rec, &c)
		keyledger.FromRecord(rec, &c, &e)
		f(&e)
		return nil
	}, Dead: func(_ context.Context, bad *decoding.BadRecord) error {
		return fmt.Errorf("%s: %s", bad.Reason, bad.Detail)
	}})
	if err := in.Bytes(context.Background(), []byte(strings.Join(records, "\n")), "test"); err != nil {
		t.Fatal(err)
	}
}

// dump writes all of a ledger.
func dump(t testing.TB, l *keyledger.Ledger) string {
	t.Helper()
	var b strings.Builder
	l.All(func(k *keyledger.Key) bool {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		more := fmt.Sprint(k.MoreAliases, k.MoreReplicas, k.MoreGrants, k.MoreHistory)
		fmt.Fprintln(&b, string(text), more, k.State(1<<40, l.StoreOf(k)))
		return true
	})
	return b.String()
}

// scrambled checks that the records give the same ledger in any order, with repetitions,
// and returns it.
func scrambled(t *testing.T, records []string) *keyledger.Ledger {
	t.Helper()
	want := keyledger.New()
	apply(t, want, records)
	r := rand.New(rand.NewPCG(7, uint64(len(records))))
	for range 25 {
		some := slices.Clone(records)
		for range len(records) / 2 {
			some = append(some, records[r.IntN(len(records))])
		}
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		got := keyledger.New()
		half := r.IntN(len(some))
		apply(t, got, some[:half])
		got.Pack() // what was packed goes on as before
		apply(t, got, some[half:])
		if g, w := dump(t, got), dump(t, want); g != w {
			t.Fatalf("another order gives\n%s\nwant\n%s\nafter\n%s", g, w, strings.Join(some, "\n"))
		}
	}
	streamed(t, records, dump(t, want))
	return want
}

// streamed checks that stage detect's ledger, from deltas that batches split and repeat in any
// order and with restores between, is the same.
func streamed(t *testing.T, records []string, want string) {
	t.Helper()
	r := rand.New(rand.NewPCG(8, uint64(len(records))))
	for range 4 {
		var deltas []string
		for _, i := range append(r.Perm(len(records)), r.Perm(len(records))[:len(records)/3]...) {
			deltas = append(deltas, deltasOf(t, records[i:min(i+1+r.IntN(4), len(records))])...)
		}
		r.Shuffle(len(deltas), func(i, j int) { deltas[i], deltas[j] = deltas[j], deltas[i] })
		log, d, now := map[string][]byte{}, keyledger.DefaultDeadlines(), int64(1<<31)
		l := keyledger.New()
		l.Watch()
		for _, delta := range deltas {
			if err := l.Merge(delta); err != nil {
				t.Fatal(err)
			}
			if r.IntN(3) == 0 {
				most := 1 + r.IntN(5)
				now += r.Int64N(9000)
				l.Advance(now, &d, true, &most, func(*keyledger.News) {})
				l.Changes(func(key string, value []byte) { log[key] = value })
			}
			if r.IntN(len(deltas)) < 3 {
				l.Changes(func(key string, value []byte) { log[key] = value })
				l = restored(t, log)
			}
		}
		if got := dump(t, l); got != want {
			t.Fatalf("the stream's ledger is\n%s\nwant\n%s", got, want)
		}
	}
}

// restored returns the ledger of a changelog.
func restored(t *testing.T, log map[string][]byte) *keyledger.Ledger {
	t.Helper()
	l := keyledger.New()
	l.Watch()
	for key, value := range log {
		if err := l.Restore(key, value); err != nil || !keyledger.IsStateKey(key) {
			t.Fatalf("%q: %v", key, err)
		}
	}
	return l
}

// deltasOf returns what one commit of stage count says of records.
func deltasOf(t *testing.T, records []string) (deltas []string) {
	t.Helper()
	var b keyledger.Batch
	events(t, records, b.Apply)
	b.All(func(_ string, delta []byte) { deltas = append(deltas, string(delta)) })
	b.Reset()
	b.All(func(string, []byte) { t.Error("a batch is not empty after Reset") })
	return deltas
}

// TestRowC7LifeCycles: life cycles of keys, scrambled and repeated, end in the same state.
func TestRowC7LifeCycles(t *testing.T) {
	byID := `{"keyId":"` + keyID + `"}`
	create := func(request string) call { return call{at: 1, name: "CreateKey", request: request, key: keyARN} }
	cancelled := []call{create(`{"keySpec":"SYMMETRIC_DEFAULT","keyUsage":"ENCRYPT_DECRYPT","origin":"AWS_KMS","multiRegion":false}`),
		{at: 10, name: "ScheduleKeyDeletion", request: `{"keyId":"` + keyID + `","pendingWindowInDays":7}`, key: keyARN, more: `,"responseElements":{"keyId":"` + keyARN + `","keyState":"PendingDeletion","deletionDate":"Mar 9, 2026, 12:00:00 AM"}`},
		{at: 20, name: "CancelKeyDeletion", request: byID, key: keyARN, more: `,"responseElements":{"keyId":"` + keyARN + `"}`}}
	material := []call{create(`{"origin":"EXTERNAL"}`),
		{at: 5, name: "ImportKeyMaterial", request: `{"keyId":"` + keyID + `","validTo":"Jan 1, 2027, 8:00:00 PM","expirationModel":"KEY_MATERIAL_EXPIRES"}`, key: keyARN}}
	store := []call{{at: 1, name: "CreateCustomKeyStore", more: `,"responseElements":{"customKeyStoreId":"cks-1"}`},
		{at: 2, name: "ConnectCustomKeyStore", request: `{"customKeyStoreId":"cks-1"}`},
		{at: 3, name: "CreateKey", request: `{"origin":"AWS_CLOUDHSM","customKeyStoreId":"cks-1"}`, key: keyARN}}
	grant := func(at int, id, more string) call {
		return call{at: at, name: "CreateGrant", request: `{"keyId":"` + keyARN + `","operations":["Decrypt","GenerateDataKey"]` + more + `}`, key: keyARN, more: `,"responseElements":{"grantId":"` + id + `"}`}
	}
	for _, c := range []struct {
		name  string
		calls []call
		state string
		check func(k *keyledger.Key) bool
	}{
		{"scheduled", cancelled[:2], "pending_deletion", func(k *keyledger.Key) bool {
			return k.Facts[keyledger.Deletion].Until == 1773014400 && k.Facts[keyledger.Spec].Value == "SYMMETRIC_DEFAULT" && len(k.History) == 1
		}},
		{"cancelled", cancelled, "disabled", nil},
		{"enabled in the second of the cancellation", append(cancelled[:3:3], call{at: 20, name: "EnableKey", request: byID, key: keyARN}), "enabled", nil},
		{"scheduled again in that second", append(cancelled[:3:3], call{at: 20, name: "ScheduleKeyDeletion", request: byID, key: keyARN}), "pending_deletion",
			func(k *keyledger.Key) bool { return k.Facts[keyledger.Deletion].Tied }},
		{"deleted", append(cancelled[:2:2], call{at: 700000, name: "DeleteKey", key: keyARN}), "deleted", nil},
		{"disabled", []call{cancelled[0], {at: 3, name: "DisableKey", request: byID, key: keyARN}}, "disabled", nil},
		{"used long after", []call{cancelled[0], {at: 3, name: "DisableKey", request: byID, key: keyARN}, {at: 4000, name: "Decrypt", key: keyARN}}, "enabled",
			func(k *keyledger.Key) bool { return k.FirstUse != 0 && k.FirstUse == k.Facts[keyledger.Used].At }},
		{"refused as disabled", []call{cancelled[0], {at: 4000, name: "Decrypt", key: keyARN, errorCde: "DisabledException"}}, "unusable", nil},
		{"not imported", material[:1], "pending_import", nil},
		{"imported", material, "enabled", func(k *keyledger.Key) bool { return k.Facts[keyledger.Material].Until == 1798833600 }},
		{"expired", append(material[:2:2], call{at: 9, name: "DeleteExpiredKeyMaterial", key: keyARN}), "pending_import", nil},
		{"material deleted", append(material[:2:2], call{at: 9, name: "DeleteImportedKeyMaterial", request: byID, key: keyARN}), "pending_import", nil},
		{"imported again", append(material[:2:2], call{at: 9, name: "DeleteExpiredKeyMaterial", key: keyARN}, call{at: 12, name: "ImportKeyMaterial", request: byID, key: keyARN}), "enabled", nil},
		{"store connected", store, "enabled", nil},
		{"store disconnected", append(store[:3:3], call{at: 9, name: "DisconnectCustomKeyStore", request: `{"customKeyStoreId":"cks-1"}`}), "unavailable", nil},
		{"rotated", []call{cancelled[0], {at: 2, name: "EnableKeyRotation", request: `{"keyId":"` + keyID + `","rotationPeriodInDays":90}`, key: keyARN},
			{at: 99, name: "RotateKey", key: keyARN, more: `,"serviceEventDetails":{"keyId":"` + keyID + `","rotationType":"AUTOMATIC"}`}}, "enabled", func(k *keyledger.Key) bool {
			return k.Facts[keyledger.Rotation].Value == "on" && k.Facts[keyledger.Rotation].Until == 90 && k.Facts[keyledger.Rotated].Value == "AUTOMATIC"
		}},
		{"aliases", []call{cancelled[0], {at: 2, name: "CreateAlias", request: `{"aliasName":"alias/app","targetKeyId":"` + keyID + `"}`, key: keyARN},
			{at: 3, name: "CreateAlias", request: `{"aliasName":"alias/old","targetKeyId":"` + keyID + `"}`, key: keyARN},
			{at: 4, name: "DeleteAlias", request: `{"aliasName":"alias/old"}`, key: keyARN},
			{at: 5, name: "UpdateAlias", request: `{"aliasName":"alias/app","targetKeyId":"` + otherID + `"}`, key: inRegion("eu-central-1", otherID)}}, "enabled", func(k *keyledger.Key) bool {
			return len(k.Aliases) == 2 && k.Aliases[0].Moved > k.Aliases[0].At && k.Aliases[1].Removed && k.Aliases[1].At == k.Aliases[1].Since+1
		}},
		{"grants", []call{cancelled[0], grant(2, strings.Repeat("a1", 32), `,"granteePrincipal":"arn:aws:iam::111122223333:role/app"`),
			grant(3, "short", `,"granteeServicePrincipal":"ec2.amazonaws.com","constraints":{"sourceArn":"arn:aws:ec2:::volume/v","encryptionContextSubset":{"aws:ebs:id":"vol-1"}}`),
			grant(4, strings.Repeat("b2", 32), `,"granteePrincipal":"x"`), grant(5, strings.Repeat("c3", 32), `,"granteePrincipal":"x"`),
			{at: 6, name: "RetireGrant", key: keyARN, more: `,"additionalEventData":{"grantId":"` + strings.Repeat("b2", 32) + `"}`},
			{at: 7, name: "RevokeGrant", request: `{"keyId":"` + keyARN + `","grantId":"` + strings.Repeat("c3", 32) + `"}`, key: keyARN}}, "enabled", func(k *keyledger.Key) bool {
			open := k.Open()
			return len(k.Grants) == 4 && len(open) == 2 && open[0].ID == strings.Repeat("a1", 32) && open[1].Service && open[1].Source == "arn:aws:ec2:::volume/v" &&
				open[1].Constraint == `{"aws:ebs:id":"vol-1"}` && open[0].Operations == "Decrypt,GenerateDataKey" && k.Grants[3].ID == "short" && !k.Grants[1].Revoked && k.Grants[2].Revoked
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var records []string
			for _, c := range c.calls {
				records = append(records, c.json())
			}
			l := scrambled(t, records)
			found := false
			l.All(func(k *keyledger.Key) bool {
				if k.Name == keyARN {
					found = true
					state := k.State(1772500000, l.StoreOf(k))
					if state != c.state || c.check != nil && !c.check(k) {
						t.Errorf("the state is %s, want %s, of\n%s", state, c.state, dump(t, l))
					}
				}
				return true
			})
			if !found {
				t.Errorf("no key in\n%s", dump(t, l))
			}
		})
	}
}

// TestReplicas: a multi-Region key, its replica and a move of the primary key, which is
// recorded in both Regions.
func TestReplicas(t *testing.T) {
	first, second := inRegion("eu-central-1", mrk), inRegion("us-east-1", mrk)
	var records []string
	for _, c := range []call{{at: 1, name: "CreateKey", request: `{"multiRegion":true}`, key: first},
		{at: 2, name: "ReplicateKey", request: `{"keyId":"` + mrk + `","replicaRegion":"us-east-1"}`, key: first},
		{at: 3, name: "CreateKey", request: `{"multiRegion":true}`, key: second, region: "us-east-1"},
		{at: 9, name: "UpdatePrimaryRegion", request: `{"keyId":"` + mrk + `","primaryRegion":"us-east-1"}`, key: first},
		{at: 9, name: "UpdatePrimaryRegion", request: `{"keyId":"` + second + `","primaryRegion":"us-east-1"}`, key: second, region: "us-east-1"}} {
		records = append(records, c.json())
	}
	l := scrambled(t, records)
	for _, name := range []string{first, second} {
		if k := l.Find(name); k == nil || k.Facts[keyledger.Primary].Value != second || k.Facts[keyledger.MultiRegion].Value != "true" {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if k := l.Find(first); len(k.Replicas) != 1 || k.Replicas[0] != second {
		t.Errorf("the replicas are %q", k.Replicas)
	}
}

// TestBounds: what the bounds leave out is counted, in any order.
func TestBounds(t *testing.T) {
	var records []string
	for i := range 40 {
		records = append(records, call{at: i, name: "DisableKey", request: `{"keyId":"` + keyID + `"}`, key: keyARN}.json())
	}
	for i := range keyledger.MaxAliases + 5 {
		records = append(records, call{at: i, name: "CreateAlias", request: fmt.Sprintf(`{"aliasName":"alias/a%d"}`, i), key: keyARN}.json())
	}
	for i := range 400 {
		records = append(records, call{at: i, name: "CreateGrant", request: `{"granteePrincipal":"x"}`, key: keyARN, more: fmt.Sprintf(`,"responseElements":{"grantId":"%064x"}`, i)}.json())
	}
	k := scrambled(t, records).Find(keyARN)
	more, _ := k.MoreAliases.Count()
	old, exact := k.MoreHistory.Count()
	if len(k.Aliases) != keyledger.MaxAliases || more != 5 || len(k.History) != keyledger.MaxHistory || old != 40-16 || !exact || len(k.Open()) != 400 {
		t.Errorf("%d aliases and %d more, %d changes and %d more, %d open grants", len(k.Aliases), more, len(k.History), old, len(k.Open()))
	}
}

// TestManyReplicas: replicas beyond the bound are counted.
func TestManyReplicas(t *testing.T) {
	first := inRegion("eu-central-1", mrk)
	var records []string
	for i := range keyledger.MaxReplicas + 3 {
		records = append(records, call{at: i, name: "ReplicateKey", request: fmt.Sprintf(`{"keyId":"%s","replicaRegion":"xx-test-%d"}`, mrk, 100+i), key: first}.json())
	}
	k := scrambled(t, records).Find(first)
	if more, exact := k.MoreReplicas.Count(); len(k.Replicas) != keyledger.MaxReplicas || more != 3 || !exact {
		t.Errorf("%d replicas and %d more", len(k.Replicas), more)
	}
}

// TestManyGrants: beyond the bound the grants that stay do not depend on the order.
func TestManyGrants(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want := ""
	for range 2 {
		l := keyledger.New()
		for _, i := range r.Perm(2 * keyledger.MaxGrants) {
			e := keyledger.Event{At: int64(1000 + i), Key: keyARN, Change: kms.GrantCreated, Grant: keyledger.Grant{ID: fmt.Sprintf("%064x", i)}}
			l.Apply(&e)
		}
		k := l.Find(keyARN)
		n, exact := k.MoreGrants.Count()
		if got := fmt.Sprint(k.Grants); exact || n < keyledger.MaxGrants*8/10 || n > keyledger.MaxGrants*12/10 || want != "" && got != want {
			t.Errorf("%d more grants, exact %v", n, exact)
		} else {
			want = got
		}
	}
}

// TestChimeVoice: a voice connector of Amazon Chime creates a grant, generates and decrypts a data key and retires
// the grant, as AWS documents it.
func TestChimeVoice(t *testing.T) {
	const service = "chimevoiceconnector.eu-central-1.amazonaws.com"
	context := `{"aws:chime:voice-profile-domain:arn":"arn:aws:chime:eu-central-1:111122223333:voice-profile-domain/d"}`
	id := strings.Repeat("0ab1", 16)
	calls := []call{
		{at: 1, name: "CreateKey", key: keyARN},
		{at: 2, name: "CreateGrant", role: "chime-admin", key: keyARN, request: `{"constraints":{"encryptionContextSubset":` + context + `},"operations":["GenerateDataKey","Decrypt","DescribeKey","RetireGrant"],` +
			`"granteePrincipal":"` + service + `","retiringPrincipal":"` + service + `","keyId":"` + keyARN + `"}`, more: `,"responseElements":{"grantId":"` + id + `"}`},
		{at: 3, name: "GenerateDataKey", key: keyARN, request: `{"encryptionContext":` + context + `,"keySpec":"AES_256","keyId":"` + keyARN + `"}`},
		{at: 9, name: "Decrypt", key: keyARN, request: `{"encryptionContext":` + context + `,"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}`},
		{at: 30, name: "RetireGrant", key: keyARN, more: `,"additionalEventData":{"grantId":"` + id + `"}`},
	}
	for n, want := range []struct{ open, used int }{{0, 0}, {1, 0}, {1, 3}, {1, 9}, {0, 9}} {
		var records []string
		for _, c := range calls[:n+1] {
			records = append(records, c.json())
		}
		l := scrambled(t, records)
		k := l.Find(keyARN)
		if open := k.Open(); len(open) != want.open || k.Facts[keyledger.Used].At%86400 != int64(want.used) {
			t.Errorf("after %s: %d open grants, last used in second %d", calls[n].name, len(open), k.Facts[keyledger.Used].At%86400)
		}
		for _, g := range k.Grants {
			if g.ID != id || !g.Service || !g.RetiringService || g.Grantee != service || g.Constraint != context || g.Revoked || !strings.HasSuffix(g.By, "user/chime-admin") {
				t.Errorf("after %s: the grant is %+v", calls[n].name, g)
			}
		}
		d := keyledger.DefaultDeadlines()
		if list := k.Alarms(1772500000, &d, l.Find); len(list) != 0 {
			t.Errorf("after %s: %+v: the grant is bound by its encryption context", calls[n].name, list)
		}
	}
}
