package filter

import (
	"regexp"
	"strings"
	"testing"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// call returns the encoded record of a call.
func call(operation, key, principal, account, region string) []byte {
	var rec otellog.Record
	rec.EventName = semconv.EventAWSKMSAPICall
	rec.Where(semconv.CloudAccountID, account)
	rec.Where(semconv.CloudRegion, region)
	rec.String(semconv.RPCMethod, operation)
	rec.String(semconv.AWSKMSKeyARN, key)
	rec.String(semconv.KeytrailPrincipalID, principal)
	rec.String(semconv.AWSUserIdentityAccountID, "444455556666")
	return otellog.AppendRequest(nil, &rec)
}

// found returns the encoded record of an anomaly.
func found(kind, severity, scope string) []byte {
	var rec otellog.Record
	rec.EventName = semconv.EventKeytrailAnomaly
	rec.String(semconv.KeytrailAnomalyKind, kind)
	rec.String(semconv.KeytrailAnomalySeverity, severity)
	rec.String(semconv.KeytrailWindowScope, scope)
	return otellog.AppendRequest(nil, &rec)
}

func TestAdmits(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/12345678-1234-1234-1234-123456789012"
	const role = "arn:aws:iam::111122223333:role/app"
	decrypt := call("com.amazonaws.kms/Decrypt", key, role, "111122223333", "eu-central-1")
	list := call("com.amazonaws.kms/ListKeys", "", role, "111122223333", "us-east-1")
	burst := found("rate", "high", "pair")
	f := func(c Config, event string, value []byte, want bool) {
		t.Helper()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := New(c).Admits(event, value); got != want {
			t.Errorf("%+v: got %v, want %v", c, got, want)
		}
	}
	apiCall, anomaly := semconv.EventAWSKMSAPICall, semconv.EventKeytrailAnomaly
	f(Config{}, apiCall, decrypt, true)
	f(Config{EventNames: []string{"keytrail.*"}}, apiCall, decrypt, false)
	f(Config{EventNames: []string{"keytrail.*"}}, anomaly, burst, true)
	f(Config{Operations: []string{"Decrypt"}}, apiCall, decrypt, true)
	f(Config{Operations: []string{"*.kms/Decrypt"}}, apiCall, decrypt, true)
	f(Config{Operations: []string{"decrypt"}}, apiCall, decrypt, false)
	f(Config{Operations: []string{"!List*"}}, apiCall, list, false)
	f(Config{Operations: []string{"!List*"}}, apiCall, decrypt, true)
	f(Config{Operations: []string{"!List*"}}, anomaly, burst, true) // lacks the field
	f(Config{Operations: []string{"List*", "!ListKeys"}}, apiCall, list, false)
	f(Config{Kinds: []string{"rate"}, Severities: []string{"high", "critical"}}, anomaly, burst, true)
	f(Config{Kinds: []string{"rate"}, Severities: []string{"critical"}}, anomaly, burst, false)
	f(Config{Severities: []string{"high"}}, apiCall, decrypt, false) // lacks the field
	f(Config{Scopes: []string{"pair"}}, anomaly, burst, true)
	f(Config{Scopes: []string{"key"}}, anomaly, burst, false)
	f(Config{Keys: []string{"arn:aws:kms:*:111122223333:key/*"}}, apiCall, decrypt, true)
	f(Config{Keys: []string{"arn:aws:kms:*:111122223333:key/*"}}, apiCall, list, false)
	f(Config{Principals: []string{role}}, apiCall, decrypt, true)
	f(Config{Principals: []string{"!" + role}}, apiCall, decrypt, false)
	f(Config{Accounts: []string{"111122223333"}}, apiCall, decrypt, true) // the trail's
	f(Config{Accounts: []string{"444455556666"}}, apiCall, decrypt, true) // the caller's
	f(Config{Accounts: []string{"777788889999"}}, apiCall, decrypt, false)
	f(Config{Regions: []string{"eu-*"}, Operations: []string{"Decrypt"}}, apiCall, decrypt, true)
	f(Config{Regions: []string{"eu-*"}}, apiCall, list, false)
	// the sink judges records that cannot be decoded
	f(Config{Regions: []string{"eu-*"}}, apiCall, []byte("\xff\xff"), true)
	f(Config{Kinds: []string{"rate"}}, apiCall, []byte("\xff\xff"), true)
	// without the header the record itself has the name
	f(Config{EventNames: []string{"keytrail.*"}}, "", burst, true)
	f(Config{EventNames: []string{"!keytrail.*"}}, "", burst, false)
	f(Config{EventNames: []string{"keytrail.*"}}, "", []byte("\xff\xff"), true)
}

func TestValidate(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Config{Kinds: []string{""}}, `kinds: "" matches nothing`)
	f(Config{Kinds: []string{"!"}}, `kinds: "!" matches nothing`)
	f(Config{Keys: []string{strings.Repeat("x", 3000)}}, "keys: a pattern of 3000 bytes")
	f(Config{Regions: make([]string, 1001)}, "regions: 1001 patterns")
}

// The event name decides alone where it can: nothing is decoded or allocated.
func TestEventNameDecodesNothing(t *testing.T) {
	f := New(Config{EventNames: []string{"keytrail.*"}, Kinds: []string{"rate"}})
	value := []byte("\xff")
	if n := testing.AllocsPerRun(100, func() { f.Admits("aws.kms.api_call", value) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if f.Admits("aws.kms.api_call", []byte("\xff")) {
		t.Error("admitted")
	}
}

// FuzzMatch compares Match with package regexp.
func FuzzMatch(f *testing.F) {
	f.Add("a*b*c", "axxbyyc")
	f.Add("*", "")
	f.Add("**a", "aa")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 64 || strings.Contains(pattern, "\uFFFD") {
			t.Skip()
		}
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
		if err != nil {
			t.Skip() // not UTF-8
		}
		if got, want := Match(pattern, value), re.MatchString(value); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", pattern, value, got, want)
		}
	})
}

// TestAdmitEnds: the end of an anomaly passes a list of severities, and no other list.
func TestAdmitEnds(t *testing.T) {
	end := func(state string) []byte {
		var rec otellog.Record
		rec.EventName = semconv.EventKeytrailAnomaly
		rec.String(semconv.KeytrailAnomalyKind, "rate")
		rec.String(semconv.KeytrailAnomalySeverity, "high")
		rec.String(semconv.KeytrailAnomalyState, state)
		return otellog.AppendRequest(nil, &rec)
	}
	critical, others := Config{Severities: []string{"critical"}}, Config{Severities: []string{"critical"}, Kinds: []string{"!rate"}}
	for i, c := range []struct {
		filter *Filter
		state  string
		want   bool
	}{
		{New(critical), ended, false}, {New(critical).AdmitEnds(), ended, true}, {New(critical).AdmitEnds(), "open", false},
		{New(others).AdmitEnds(), ended, false}, {New(Config{}).AdmitEnds(), "open", true},
	} {
		if got := c.filter.Admits(semconv.EventKeytrailAnomaly, end(c.state)); got != c.want {
			t.Errorf("case %d: got %v, want %v", i, got, c.want)
		}
	}
}
