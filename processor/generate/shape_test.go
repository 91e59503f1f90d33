package generate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// sum hashes a trail: every field of every event.
func sum(g *generate.Generator) [32]byte {
	h := sha256.New()
	for event := range g.Events() {
		h.Write([]byte(event.Time.Format(time.RFC3339) + event.Delivered.Format(time.RFC3339) + event.Account + event.Region))
		h.Write(event.JSON)
	}
	return [32]byte(h.Sum(nil))
}

func TestEqualSeedsGiveEqualBytes(t *testing.T) {
	c := generate.Config{Seed: 7, Duration: 50 * time.Hour, Events: 4000}
	g := makeTrail(t, c)
	want := sum(g)
	if sum(g) != want {
		t.Error("a second reading of one generator differs")
	}
	if sum(makeTrail(t, c)) != want {
		t.Error("a second generator of the same Config differs")
	}
	both := make(chan [32]byte, 2)
	for range 2 {
		go func() { both <- sum(g) }()
	}
	if a, b := <-both, <-both; a != want || b != want {
		t.Error("readings at the same time differ")
	}
	c.Seed++
	if sum(makeTrail(t, c)) == want {
		t.Error("another seed gives the same trail")
	}
}

func TestReadingMayStopAnywhere(t *testing.T) {
	g := makeTrail(t, generate.Config{Duration: 2 * time.Hour, Events: 500, DuplicateShare: 0.5})
	for stop := 1; stop < 40; stop++ {
		n := 0
		for range g.Events() {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Fatalf("read %d events, wanted to stop after %d", n, stop)
		}
	}
}

// tally counts the contents of a trail.
type tally struct{ types, versions, names, contexts, keyForms, outcomes map[string]int }

func newTally() tally {
	return tally{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}}
}

func (c tally) add(r record) {
	c.types[r.text("userIdentity.type")]++
	c.versions[r.text("eventVersion")]++
	c.names[r.text("eventName")]++
	c.outcomes[r.text("errorCode")]++
	if context, ok := r.at("requestParameters.encryptionContext").(map[string]any); ok {
		for name := range context {
			c.contexts[name]++
		}
	}
	switch form := r.text("requestParameters.keyId"); {
	case form == "":
	case strings.HasPrefix(form, "alias/"):
		c.keyForms["alias"]++
	case strings.Contains(form, ":alias/"):
		c.keyForms["alias ARN"]++
	case strings.Contains(form, ":key/"):
		c.keyForms["key ARN"]++
	default:
		c.keyForms["id"]++
	}
}

// TestShape compares the trail with the shape of real trails.
func TestShape(t *testing.T) {
	list := records(t, makeTrail(t, demo(1)), true)
	total, size := float64(len(list)), 0
	found := newTally()
	last := time.Time{}
	for _, r := range list {
		size += len(r.JSON)
		if r.Time.Before(last) {
			t.Fatalf("%v after %v", r.Time, last)
		}
		last = r.Time
		found.add(r)
		checkForm(t, r)
		checkRecord(t, r)
	}
	if mean := float64(size) / total; mean < 1200 || mean > 1600 {
		t.Errorf("mean size %.0f bytes, want 1200 to 1600", mean)
	}
	if math.Abs(total/60_000-1) > 0.1 {
		t.Errorf("%.0f records, want about 60,000", total)
	}
	share := func(kind string, low, high float64) {
		if s := float64(found.types[kind]) / total; s < low || s > high {
			t.Errorf("identity type %q: share %.4f, want %.4f to %.4f", kind, s, low, high)
		}
	}
	share("AssumedRole", 0.5, 0.68)
	share("AWSService", 0.16, 0.24)
	share("IAMUser", 0.1, 0.2)
	share("FederatedUser", 0.02, 0.08)
	share("AWSAccount", 0.0005, 0.1)
	share("", 0.00001, 0.005)
	if s := 1 - float64(found.outcomes[""])/total; s < 0.007 || s > 0.015 {
		t.Errorf("failed share %.4f, want about 0.01", s)
	}
	needs := func(what string, have map[string]int, wanted ...string) {
		for _, name := range wanted {
			if have[name] == 0 {
				t.Errorf("%s %q never occurs", what, name)
			}
		}
	}
	needs("version", found.versions, "1.08", "1.09", "1.10", "1.11")
	needs("operation", found.names, "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt", "Sign", "Verify",
		"GenerateMac", "VerifyMac", "CreateGrant", "RetireGrant", "DescribeKey", "ListAliases", "GetKeyPolicy", "RotateKey", "LookupEvents")
	needs("context", found.contexts, "aws:s3:arn", "aws:ebs:id", "PARAMETER_ARN", "SecretARN", "SecretVersionId", "aws:lambda:FunctionArn", "aws:cloudtrail:arn", "tenant")
	needs("key form", found.keyForms, "alias", "alias ARN", "key ARN", "id")
}

// checkForm checks the invariants of every record.
func checkForm(t *testing.T, r record) {
	t.Helper()
	if len(r.JSON) > 4<<10 || !bytes.HasPrefix(r.JSON, []byte(`{"eventVersion":"1.`)) {
		t.Fatalf("%d bytes, which begin %.40s", len(r.JSON), r.JSON)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, r.JSON); err != nil || !bytes.Equal(compact.Bytes(), r.JSON) {
		t.Fatalf("not minified (%v): %s", err, r.JSON)
	}
	at, err := time.Parse(time.RFC3339, r.text("eventTime"))
	if err != nil || !at.Equal(r.Time) {
		t.Fatalf("eventTime %q (%v), Event.Time %v", r.text("eventTime"), err, r.Time)
	}
	if r.text("recipientAccountId") != r.Account || r.text("awsRegion") != r.Region || r.text("eventID") == "" {
		t.Fatalf("account, region or id do not fit: %s", r.JSON)
	}
}

// TestRareCallers finds root, and KMS itself on a multi-Region key, in a long enough
// trail.
func TestRareCallers(t *testing.T) {
	root, internal := 0, map[string]int{}
	for _, r := range records(t, makeTrail(t, generate.Config{Duration: 60 * 24 * time.Hour, Events: 2000, Scenarios: []string{}}), true) {
		switch r.text("userIdentity.type") {
		case "Root":
			root++
		case "":
			internal[r.text("eventName")]++
		}
	}
	if root < 5 || root > 60 { // two accounts, 24 expected
		t.Errorf("%d calls by root in 60 days", root)
	}
	if internal["RotateKey"] == 0 || internal["SynchronizeMultiRegionKey"] == 0 || len(internal) != 2 {
		t.Errorf("internal events: %v", internal)
	}
}

// checkRecord checks facts about single operations and identities.
func checkRecord(t *testing.T, r record) {
	t.Helper()
	fail := func(what string) { t.Errorf("%s: %s", what, r.JSON) }
	_, resources := r.fields["resources"]
	targets, _ := r.fields["resources"].([]any)
	refused := r.text("errorCode") == "AccessDenied"
	switch name := r.text("eventName"); name {
	case "Decrypt":
		if r.at("requestParameters.keyId") != nil && !refused {
			fail("a Decrypt that names its key")
		}
		if r.at("requestParameters.encryptionContext") == nil && !refused {
			fail("a Decrypt without context")
		}
	case "GenerateDataKey":
		if r.text("requestParameters.keyId") == "" {
			fail("a GenerateDataKey that does not name its key")
		}
	case "ListAliases", "ListKeys", "GenerateRandom":
		if resources {
			fail("a call without key has resources")
		}
	case "ReEncrypt":
		if len(targets) != 2 {
			fail("a ReEncrypt without two keys")
		}
	case "RotateKey":
		if r.at("userIdentity.type") != nil || r.text("eventType") != "AwsServiceEvent" || r.at("requestID") != nil || r.text("serviceEventDetails.keyId") == "" {
			fail("an internal event that has the form of a call")
		}
	case "CreateGrant":
		if r.text("errorCode") == "" && (r.text("responseElements.grantId") == "" || r.at("requestParameters.operations") == nil) {
			fail("a CreateGrant without grant")
		}
	case "RetireGrant":
		if r.at("requestParameters") != nil || r.text("additionalEventData.grantId") == "" {
			fail("a RetireGrant in another form")
		}
	}
	if r.text("errorCode") != "" && r.at("responseElements") != nil {
		fail("a failed call with a response")
	}
	_, tls := r.fields["tlsDetails"]
	if direct := !strings.Contains(r.text("sourceIPAddress"), "amazonaws.com") && r.text("sourceIPAddress") != "AWS Internal"; direct != tls && r.text("userIdentity.type") != "AWSAccount" {
		fail("tlsDetails belong to direct calls")
	}
	if r.text("userIdentity.type") == "AWSAccount" {
		if identity := r.at("userIdentity").(map[string]any); len(identity) != 3 || identity["principalId"] == "" || identity["accountId"] == r.Account {
			fail("an owner's copy shows more than account and unique id")
		}
	}
}

// TestCrossAccount pairs the two copies of calls across accounts.
func TestCrossAccount(t *testing.T) {
	byCall := map[string][]record{}
	for _, r := range records(t, makeTrail(t, generate.Config{Seed: 2, Events: 20_000}), true) {
		if shared := r.text("sharedEventID"); shared != "" {
			byCall[shared] = append(byCall[shared], r)
		}
	}
	pairs, single, hidden := 0, 0, 0
	for id, copies := range byCall {
		caller := copies[0]
		if caller.text("userIdentity.type") == "AWSService" {
			single++
			if len(copies) != 1 {
				t.Errorf("service call %s has %d records", id, len(copies))
			}
			continue
		}
		if len(copies) == 1 { // one of the two trails was blind, or the caller has none
			hidden++
			continue
		}
		pairs++
		owner := copies[1]
		if len(copies) != 2 || caller.text("eventID") == owner.text("eventID") || caller.text("requestID") != owner.text("requestID") || !caller.Time.Equal(owner.Time) {
			t.Errorf("call %s: copies do not pair", id)
		}
		if caller.text("userIdentity.type") != "AssumedRole" || caller.Account != caller.text("userIdentity.accountId") {
			t.Errorf("call %s: the first copy is not the caller's", id)
		}
		if owner.text("userIdentity.type") != "AWSAccount" || owner.text("userIdentity.accountId") != caller.Account || owner.Account == caller.Account ||
			owner.text("userIdentity.principalId") != caller.text("userIdentity.principalId") || owner.keyARN() != caller.keyARN() {
			t.Errorf("call %s: the second copy is not the owner's", id)
		}
	}
	if pairs < 50 || single < 2000 || hidden > pairs {
		t.Errorf("%d pairs, %d single records of services, %d pairs half hidden", pairs, single, hidden)
	}
}

// TestVolume checks the number of records against the Config.
func TestVolume(t *testing.T) {
	f := func(want int, c generate.Config) {
		t.Helper()
		c.DuplicateShare, c.Scenarios = -1, []string{}
		n := 0
		for range makeTrail(t, c).Events() {
			n++
		}
		if math.Abs(float64(n)/float64(want)-1) > 0.15 {
			t.Errorf("%d records, want about %d", n, want)
		}
	}
	f(20_000, generate.Config{Events: 20_000, Duration: 26*time.Hour + 30*time.Minute, Start: time.Date(2026, 3, 7, 5, 17, 30, 0, time.UTC)})
	f(30_000, generate.Config{Events: 30_000, Keys: 200, Principals: 400, Duration: 14 * 24 * time.Hour})
	f(40*20*24, generate.Config{Duration: 24 * time.Hour})
	f(50_000, generate.Config{Seed: 3, Events: 50_000, Keys: 10, Principals: 10, Accounts: []string{"123456789012"}, Regions: []string{"cn-north-1"}})
}

func TestPartitions(t *testing.T) {
	f := func(region, prefix, host string) {
		t.Helper()
		g := makeTrail(t, generate.Config{Duration: 3 * time.Hour, Events: 300, Regions: []string{region}, Scenarios: []string{}})
		for _, r := range records(t, g, true) {
			if arn := r.keyARN(); strings.HasPrefix(arn, "arn:") && !strings.HasPrefix(arn, prefix) {
				t.Fatalf("%s has key %s", region, arn)
			}
			if tls := r.text("tlsDetails.clientProvidedHostHeader"); tls != "" && !strings.HasSuffix(tls, host) {
				t.Fatalf("%s has host %s", region, tls)
			}
		}
	}
	f("us-east-1", "arn:aws:", "us-east-1.amazonaws.com")
	f("cn-northwest-1", "arn:aws-cn:", "cn-northwest-1.amazonaws.com.cn")
	f("us-gov-west-1", "arn:aws-us-gov:", "us-gov-west-1.amazonaws.com")
}
