package keypolicy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 2, 9, 40, 0, 0, time.UTC)

const owner = "111122223333"

// policy writes a policy of one statement that allows everything except as fields restrict.
func policy(fields string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*",` + fields + `}]}`
}

// everyone writes one that lets in everyone under a condition.
func everyone(condition string) string {
	return policy(`"Principal":"*","Condition":{` + condition + `}`)
}

func check(t *testing.T, text string, want bool) {
	t.Helper()
	if got := Open(text, owner, now); got != want {
		t.Errorf("open: %v, want %v:\n%s", got, want, text)
	}
}

// TestPrincipals: every form of "everyone" is open, and what names somebody is not.
func TestPrincipals(t *testing.T) {
	for _, open := range []string{
		`"Principal":"*"`, `"Principal":["*"]`, `"Principal":{"AWS":"*"}`, `"Principal":{"AWS":["arn:aws:iam::111122223333:root","*"]}`,
		`"principal":{"aws":"*"}`, `"Principal":{"Service":"s3.amazonaws.com","AWS":"*"}`, `"Principal":{"AWS":"arn:aws:iam::*:root"}`,
		`"Principal":{"AWS":"arn:aws:iam::*:role/deploy"}`, `"Principal":"\u002a"`, `"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/x"}`,
		`"NotPrincipal":{"Service":"s3.amazonaws.com"}`, `"notPrincipal":{"AWS":["arn:aws:iam::111122223333:root"]}`,
	} {
		check(t, policy(open), true)
	}
	for _, closed := range []string{
		`"Principal":{"AWS":"arn:aws:iam::111122223333:root"}`, `"Principal":{"AWS":"444455556666"}`, `"Principal":{"AWS":[]}`,
		`"Principal":{"AWS":"arn:aws:iam::444455556666:role/*"}`, `"Principal":{"Service":"*"}`, `"Principal":{"Service":"cloudtrail.amazonaws.com"}`,
		`"Principal":{"Federated":"*"}`, `"NotPrincipal":"*"`, `"NotPrincipal":{"AWS":["arn:aws:iam::111122223333:root","*"]}`, `"Principal":null`, `"Sid":"*"`,
	} {
		check(t, policy(closed), false)
	}
}

// TestStatements: one statement is as good as a list of one; what it allows has to be
// something that is done with a key; a denial counts.
func TestStatements(t *testing.T) {
	st := func(effect, rest string) string {
		return `{"Effect":"` + effect + `","Principal":"*","Resource":"*",` + rest + `}`
	}
	doc := func(list string) string { return `{"Statement":` + list + `}` }
	org := `,"Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}}`
	for _, c := range []struct {
		text string
		open bool
	}{
		{doc(st("Allow", `"Action":"kms:*"`)), true},
		{doc(`[` + st("allow", `"Action":["kms:Decrypt"]`) + `]`), true},
		{doc(st("Deny", `"Action":"kms:*"`)), false},
		{doc(st("Allow", `"Action":"*"`)), true},
		{doc(st("Allow", `"Action":"kms:d*"`)), true},
		{doc(st("Allow", `"Action":"KMS:GENERATEDATAKEY"`)), true},
		{doc(st("Allow", `"Action":"s3:*"`)), false},
		{doc(st("Allow", `"Action":["kms:ListKeys","kms:GenerateRandom"]`)), false},
		{doc(st("Allow", `"NotAction":"kms:PutKeyPolicy"`)), true},
		{doc(st("Allow", `"NotAction":["s3:*"]`)), true},
		{doc(st("Allow", `"NotAction":"kms:*"`)), false},
		{doc(st("Allow", `"Sid":"no action"`)), true},
		{doc(`[` + st("Allow", `"Action":"kms:*"`) + `,` + st("Deny", `"Action":"kms:*"`+org) + `]`), false},
		{doc(`[` + st("Allow", `"Action":"kms:*"`) + `,` + st("Deny", `"Action":"kms:Decrypt"`+org) + `]`), true},
		{doc(`[` + st("Allow", `"Action":"kms:Decrypt"`) + `,` + st("Deny", `"NotAction":"kms:Encrypt"`+org) + `]`), false},
		{doc(`[` + st("Allow", `"Action":"kms:*"`) + `,` + st("Deny", `"Action":"kms:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}`) + `]`), true},
		{doc(`[` + st("Allow", `"Action":"kms:*"`) + `,{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*"}]`), false},
		{doc(`[` + st("Allow", `"Action":"kms:*"`) + `,{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:*"}]`), true},
		{`{"Statement":"*"}`, false}, {`"*"`, false}, {`{"*"`, false}, {``, false}, {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Condition":"*"}]}`, false},
	} {
		check(t, c.text, c.open)
	}
}

// TestConditionsEverybodyMeets: a condition that a stranger can meet does not close a policy.
func TestConditionsEverybodyMeets(t *testing.T) {
	for _, c := range []string{
		``, `"StringLike":{"aws:PrincipalArn":"*"}`, `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}`, `"StringLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/admin"]}`,
		`"Bool":{"aws:SecureTransport":"true"}`, `"Bool":{"aws:SecureTransport":true}`, `"Null":{"aws:PrincipalArn":"false"}`, `"Null":{"aws:SourceVpce":true}`,
		`"StringNotEquals":{"aws:PrincipalAccount":"000000000000"}`, `"StringNotLike":{"AWS:PRINCIPALARN":"arn:aws:iam::444455556666:*"}`,
		`"StringEquals":{"kms:ViaService":"s3.eu-west-1.amazonaws.com"}`, `"StringLike":{"kms:ViaService":"s3.*.amazonaws.com"}`,
		`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`, `"IpAddress":{"aws:SourceIp":["::/0"]}`, `"IpAddress":{"aws:SourceIp":["10.0.0.0/8","128.0.0.0/1"]}`,
		`"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}`, `"IpAddressIfExists":{"aws:SourceIp":"198.51.100.0/24"}`,
		`"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-abcdefghij"}`, `"ForAllValues:StringEquals":{"aws:PrincipalOrgPaths":"o-abcdefghij/*"}`,
		`"ForAllValues:StringLike":{"aws:SourceArn":"arn:aws:s3:::b"}`, `"StringLike":{"aws:PrincipalOrgID":"o-*"}`, `"StringLike":{"aws:SourceVpce":"vpce-*"}`,
		`"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}`, `"DateLessThan":{"aws:CurrentTime":"2030-01-01"}`, `"NumericGreaterThan":{"aws:EpochTime":1500000000}`,
		`"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}`, `"Bool":{"aws:MultiFactorAuthPresent":"true"}`, `"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`,
		`"StringEquals":{"kms:EncryptionContext:tenant":"t1"}`, `"StringEquals":{"aws:PrincipalTag/team":"payments"}`, `"StringEquals":{"aws:ResourceAccount":"111122223333"}`,
		`"Bool":{"kms:GrantIsForAWSResource":"true"}`, `"StringEquals":{"aws:RequestedRegion":"eu-west-1"}`, `"StringEquals":{"aws:PrincipalType":"AssumedRole"}`,
		`"StringEquals":{"aws:PrincipalAccount":"${aws:PrincipalAccount}"}`, `"StringLike":{"aws:userid":"*:*"}`, `"Bool":{"aws:PrincipalIsAWSService":"false"}`,
		`"ArnLike":{"aws:SourceArn":"arn:aws:cloudtrail:*:*:trail/*"}`, `"StringNotEqualsIgnoreCase":{"aws:username":"bob"}`,
		`"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:PrincipalArn":"*"}`,
	} {
		check(t, everyone(c), true)
	}
}

// TestConditionsThatKeepStrangersOut: a condition that only somebody of the policy's choice meets
// closes it.
func TestConditionsThatKeepStrangersOut(t *testing.T) {
	for _, c := range []string{
		`"StringEquals":{"kms:CallerAccount":"444455556666"}`, `"StringEquals":{"kms:calleraccount":"444455556666","kms:ViaService":"s3.eu-west-1.amazonaws.com"}`,
		`"StringEquals":{"aws:PrincipalAccount":["444455556666","777788889999"]}`, `"StringLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/*"}`,
		`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/x"}`, `"StringLike":{"aws:PrincipalArn":"*:444455556666:*"}`,
		`"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}`, `"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-abcdefghij/*"}`,
		`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}`, `"IpAddress":{"aws:SourceIp":["203.0.113.7","2001:db8:1::/48"]}`, `"StringEquals":{"aws:SourceVpce":"vpce-1a2b3c4d"}`,
		`"StringEquals":{"aws:SourceVpc":"vpc-1a2b3c4d"}`, `"ArnLike":{"aws:SourceArn":"arn:aws:cloudtrail:*:444455556666:trail/*"}`, `"StringEquals":{"aws:SourceAccount":"444455556666"}`,
		`"StringLike":{"aws:userid":"AROAEXAMPLE:*"}`, `"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}`, `"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}`,
		`"Null":{"aws:PrincipalArn":"true"}`, `"StringNotLike":{"aws:PrincipalArn":"*"}`, `"Bool":{"aws:PrincipalIsAWSService":"true"}`, `"StringEquals":{"saml:sub":"me"}`,
		`"StringEqualsIgnoreCase":{"kms:RecipientAttestation:ImageSha384":"9fedcba8abcdef7abcdef6abcdef5abcdef4abcdef3abcdef2abcdef1abcdef1"}`,
		`"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}`, `"StringSounds":{"aws:PrincipalArn":"*"}`, `"StringEquals":{"aws:PrincipalArn":[]}`,
		`"StringEquals":{"aws:PrincipalTag/x":"1"},"StringNotEquals":{"aws:PrincipalTag/x":"1"}`, `"StringEquals":{"aws:ResourceAccount":"999999999999"}`,
	} {
		check(t, everyone(c), false)
	}
}

// TestPlainPoliciesCostNothing: a policy without wildcards except in actions and resources,
// as most are, is rejected without being parsed.
func TestPlainPoliciesCostNothing(t *testing.T) {
	text := policy(`"Principal":{"AWS":"arn:aws:iam::111122223333:root"}},{"Effect":"Allow","Action":["kms:Describe*","kms:List*"],"Resource" : "*","Principal":{"AWS":["a","b"]}`)
	if n := testing.AllocsPerRun(10, func() { check(t, text, false) }); n > 0 {
		t.Errorf("%v allocations for %s", n, text)
	}
}

// TestReportedPolicies: the policies that were reported, in place.
func TestReportedPolicies(t *testing.T) {
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(dir, "reports", "shapes", "60-public-policies", "a.json"))
	if err != nil {
		t.Skipf("NOT TESTED: the reported policies are not there: %v", err)
	}
	var file struct {
		Records []struct {
			UserAgent         string
			RequestParameters struct{ Policy string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"p00": true, "p01": true, "p02": true, "p03": true, "p04": false, "p05": true, "p06": true, "p07": true, "p08": true, "p09": false, "p10": false}
	for _, r := range file.Records {
		if got := Open(r.RequestParameters.Policy, "444455556666", now); got != want[r.UserAgent] {
			t.Errorf("%s: open %v: %s", r.UserAgent, got, r.RequestParameters.Policy)
		}
	}
	if len(file.Records) != len(want) {
		t.Error(fmt.Sprint(len(file.Records), " policies"))
	}
}
