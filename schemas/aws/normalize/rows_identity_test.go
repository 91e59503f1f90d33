package normalize

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keytrail/schemas/aws/cloudtrail"
	sc "keytrail/schemas/semconv"
)

// TestRowA13Sessions: a session's ARN is the role whatever type the identity has; the issuer, where there is one, gives the role's path.
func TestRowA13Sessions(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-eusc"} {
		role := "arn:" + partition + ":iam::111122223333:role/Admin"
		path := "arn:" + partition + ":iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/Admin"
		for _, kind := range []string{`"type":"AssumedRole",`, `"type":"IAMUser",`, `"type":"Role",`, `"type":"Unknown",`, `"type":"AWSAccount",`, `"type":"FederatedUser",`, ``} {
			for session, name := range map[string]string{"/s0": "s0", "/s1": "s1", "": "", "/a@b.c": "a@b.c"} {
				who := kind + `"principalId":"AROA1:s","accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com","arn":"arn:` + partition + `:sts::111122223333:assumed-role/Admin` + session + `"`
				issuer := func(arn string) string { return `,"sessionContext":{"sessionIssuer":{"arn":"` + arn + `"}}` }
				for more, want := range map[string]string{
					``: role, issuer(role): role, issuer(path): path, issuer("arn:" + partition + ":sts::111122223333:assumed-role/Admin/s9"): role,
				} {
					r := one(t, kmsEvent("Decrypt", `,"userIdentity":{`+who+more+`}`))
					if got := r.text(sc.KeytrailPrincipalID); got != want {
						t.Errorf("%s%s: principal %q, want %q", who, more, got, want)
					}
					if got := r.text(sc.KeytrailPrincipalSession); got != name {
						t.Errorf("%s%s: session %q, want %q", who, more, got, name)
					}
				}
			}
		}
	}
	// Other ARNs than those of a role's sessions stay as they are.
	for _, arn := range []string{
		"arn:aws:sts::111122223333:federated-user/bob", "arn:aws:iam::111122223333:user/assumed-role/x", "arn:aws:sts:::assumed-role/x/s",
		"arn:aws:sts::111122223333:assumed-role//s", "arn:aws:iam::111122223333:role/x", "assumed-role/x/s",
	} {
		for _, kind := range []string{"IAMUser", "Unknown", "FederatedUser"} {
			if got := one(t, kmsEvent("Decrypt", `,"userIdentity":{"type":"`+kind+`","arn":"`+arn+`"}`)).text(sc.KeytrailPrincipalID); got != arn {
				t.Errorf("%s %s: principal %q", kind, arn, got)
			}
		}
	}
}

// TestRowA7MessageWithoutCode: an error message without an error code is a failure.
func TestRowA7MessageWithoutCode(t *testing.T) {
	r := one(t, kmsEvent("Decrypt", `,"errorMessage":"Access denied"`))
	if got := r.text(sc.KeytrailOutcome) + " " + r.rec.Severity.Text() + " " + r.text(sc.ErrorType); got != "failed ERROR " {
		t.Errorf("%q", got)
	}
	if got := one(t, kmsEvent("Decrypt", `,"errorMessage":null`)).text(sc.KeytrailOutcome); got != "ok" {
		t.Errorf("a null message: %q", got)
	}
}

// TestRowB3WholeContexts: the object of a context that no known service names is the whole context, in any order of its pairs and however long it is.
func TestRowB3WholeContexts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 57))
	objectOf := func(pairs []cloudtrail.KV) (string, string) {
		t.Helper()
		list := []string{}
		for _, kv := range pairs {
			list = append(list, fmt.Sprintf("%q:%q", kv.Key, kv.Value))
		}
		rec := one(t, kmsEvent("Decrypt", `,"requestParameters":{"encryptionContext":{`+strings.Join(list, ",")+`}}`))
		return rec.text(sc.KeytrailContextClass), rec.text(sc.KeytrailContextObject)
	}
	seen := map[string]string{}
	for i := range 300 {
		n := 1 + r.IntN(4)
		if i%50 == 0 {
			n = 100
		}
		pairs := []cloudtrail.KV{{Key: "app", Value: "billing"}}
		for k := range n {
			pairs = append(pairs, cloudtrail.KV{Key: fmt.Sprintf("k%d%s", k, strings.Repeat("\"\\", r.IntN(2))), Value: fmt.Sprint(i, strings.Repeat("x", r.IntN(80)))})
		}
		text := fmt.Sprint(pairs)
		class, object := objectOf(pairs)
		if class != "custom" || object == "" || len(object) > maxObject || seen[object] != "" {
			t.Fatalf("%s: class %s, object %q, which is also that of %q", text, class, object, seen[object])
		}
		seen[object] = text
		r.Shuffle(len(pairs), func(a, b int) { pairs[a], pairs[b] = pairs[b], pairs[a] })
		if _, again := objectOf(pairs); again != object {
			t.Fatalf("%s: object %q, in another order %q", text, object, again)
		}
		// With one that a service names, in any order, the object is that.
		pairs = append(pairs, cloudtrail.KV{Key: "SecretARN", Value: "arn:s"}, cloudtrail.KV{Key: "aws:sqs:arn", Value: "arn:q"})
		r.Shuffle(len(pairs), func(a, b int) { pairs[a], pairs[b] = pairs[b], pairs[a] })
		if class, object := objectOf(pairs); class != "secret" || object != "arn:s" {
			t.Fatalf("%v: class %s, object %q", pairs, class, object)
		}
	}
}
