package keypolicy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The judge of this package shares no code with it: it writes down a small world of
// requests that strangers can make, and asks of each, as AWS would, whether the policy
// allows it. The generator keeps to the condition keys, values and actions of that world,
// in which every distinction that its policies can make occurs.

// world has the values that a stranger's request can have, by condition key; "" is a
// request without it.
var world = map[string][]string{
	"aws:PrincipalAccount": {"555566667777"},
	"kms:CallerAccount":    {"555566667777"},
	"aws:PrincipalArn": {"arn:aws:iam::555566667777:role/x", "arn:aws:iam::555566667777:role/admin", "arn:aws:iam::555566667777:user/x",
		"arn:aws:iam::555566667777:user/admin", "arn:aws:iam::555566667777:root"},
	"aws:PrincipalOrgID":            {"", "o-stranger"},
	"aws:SourceIp":                  {"", "52.1.2.3", "130.9.9.9", "2a00::1"},
	"aws:SourceVpce":                {"", "vpce-stranger"},
	"aws:SecureTransport":           {"true", "false"},
	"aws:MultiFactorAuthPresent":    {"", "true", "false"},
	"kms:ViaService":                {"", "s3.eu-west-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "other"},
	"kms:EncryptionContext:tenant":  {"", "t1", "t2", "t3", "other"},
	"aws:PrincipalTag/team":         {"", "t1", "t2", "t3", "other"},
	"aws:CurrentTime":               {"2026-03-02T09:40:00Z", "2036-01-01T00:00:00Z"},
	"aws:SourceArn":                 {"", "arn:aws:s3:::stranger"},
	"accounts.google.com:aud":       {""},
	"kms:RecipientAttestation:PCR0": {""},
	"aws:PrincipalServiceNamesList": {""},
	"aws:PrincipalIsAWSService":     {"false"},
}

// said are values that a policy may compare each key with.
var said = map[string][]string{
	"aws:PrincipalAccount": {"111122223333", "*", "1111*", "????????????"},
	"kms:CallerAccount":    {"111122223333", "444455556666"},
	"aws:PrincipalArn": {"*", "arn:aws:iam::111122223333:role/x", "arn:aws:iam::*:role/admin", "arn:aws:iam::111122223333:*", "arn:*", "arn:aws:iam::*:user/*",
		"*:111122223333:*"},
	"aws:PrincipalOrgID":            {"o-1234567890", "o-*", "*"},
	"aws:SourceIp":                  {"0.0.0.0/0", "::/0", "198.51.100.0/24", "10.0.0.0/8", "128.0.0.0/1", "2001:db8::/40"},
	"aws:SourceVpce":                {"vpce-1a2b", "vpce-*", "*"},
	"aws:SecureTransport":           {"true", "false"},
	"aws:MultiFactorAuthPresent":    {"true", "false"},
	"kms:ViaService":                {"s3.eu-west-1.amazonaws.com", "s3.*.amazonaws.com", "*"},
	"kms:EncryptionContext:tenant":  {"t1", "t2", "t*"},
	"aws:PrincipalTag/team":         {"t1", "t2", "*"},
	"aws:CurrentTime":               {"2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"},
	"aws:SourceArn":                 {"arn:aws:s3:::bucket", "arn:aws:s3:::*", "arn:aws:sns:eu-west-1:111122223333:topic"},
	"accounts.google.com:aud":       {"app", "*"},
	"kms:RecipientAttestation:PCR0": {"00ff"},
	"aws:PrincipalServiceNamesList": {"s3.amazonaws.com"},
	"aws:PrincipalIsAWSService":     {"true", "false"},
}

func operatorsOf(key string) []string {
	switch {
	case key == "aws:SourceIp":
		return []string{"IpAddress", "NotIpAddress"}
	case key == "aws:CurrentTime":
		return []string{"DateLessThan", "DateGreaterThanEquals"}
	case strings.HasSuffix(key, "Arn"):
		return []string{"ArnLike", "ArnNotLike", "StringLike", "StringNotLike", "StringEquals"}
	case key == "aws:SecureTransport", key == "aws:MultiFactorAuthPresent", key == "aws:PrincipalIsAWSService":
		return []string{"Bool", "StringEquals", "StringNotEquals"}
	}
	return []string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "ForAllValues:StringLike", "ForAnyValue:StringLike"}
}

var worldActions = []string{"kms:Decrypt", "kms:Encrypt", "kms:CreateGrant", "kms:PutKeyPolicy"}

// judge asks every request of the world.
func judge(t *testing.T, text string) bool {
	var doc struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for key := range world {
		if strings.Contains(strings.ToLower(text), strings.ToLower(`"`+key+`"`)) {
			keys = append(keys, key)
		}
	}
	request := map[string]string{}
	var ask func(rest []string) bool
	ask = func(rest []string) bool {
		if len(rest) == 0 {
			for _, action := range worldActions {
				allowed, denied := false, false
				for _, st := range doc.Statement {
					if applies(st, action, request) {
						allowed, denied = allowed || st["Effect"] == "Allow", denied || st["Effect"] == "Deny"
					}
				}
				if allowed && !denied {
					return true
				}
			}
			return false
		}
		for _, v := range world[rest[0]] {
			request[rest[0]] = v
			if ask(rest[1:]) {
				return true
			}
		}
		return false
	}
	return ask(keys)
}

func applies(st map[string]any, action string, request map[string]string) bool {
	names := func(v any) bool { // everyone, or the stranger
		text, _ := json.Marshal(v)
		return strings.Contains(string(text), `"*"`)
	}
	if p, ok := st["Principal"]; ok && !names(p) {
		return false
	}
	if p, ok := st["NotPrincipal"]; ok && names(p) {
		return false
	}
	if a, ok := st["Action"]; ok && !glob(a.(string), action) {
		return false
	}
	if a, ok := st["NotAction"]; ok && glob(a.(string), action) {
		return false
	}
	conditions, _ := st["Condition"].(map[string]any)
	for operator, byKey := range conditions {
		for key, values := range byKey.(map[string]any) {
			if !met(operator, request[key], values.([]any)) {
				return false
			}
		}
	}
	return true
}

func glob(pattern, s string) bool {
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("^" + expr + "$").MatchString(s)
}

// met reports whether one operator is met by the value of a request, "" for none.
func met(operator, v string, values []any) bool {
	any := func(f func(want string) bool) bool {
		for _, want := range values {
			if f(want.(string)) {
				return true
			}
		}
		return false
	}
	if operator == "Null" {
		return any(func(want string) bool { return want == fmt.Sprint(v == "") })
	}
	if short, ok := strings.CutSuffix(operator, "IfExists"); ok {
		return v == "" || met(short, v, values)
	}
	if short, ok := strings.CutPrefix(operator, "ForAllValues:"); ok {
		return v == "" || met(short, v, values)
	}
	if short, ok := strings.CutPrefix(operator, "ForAnyValue:"); ok {
		return v != "" && met(short, v, values)
	}
	switch operator {
	case "StringNotEquals", "StringNotLike", "ArnNotLike", "NotIpAddress":
		return v == "" || !met(strings.Replace(operator, "Not", "", 1), v, values)
	}
	if v == "" {
		return false
	}
	return any(func(want string) bool {
		switch operator {
		case "StringEquals", "Bool":
			return v == want
		case "StringEqualsIgnoreCase":
			return strings.EqualFold(v, want)
		case "StringLike":
			return glob(want, v)
		case "ArnLike":
			if want == "*" {
				return true
			}
			p, a := strings.SplitN(want, ":", 6), strings.SplitN(v, ":", 6)
			for i := range p {
				if len(p) != len(a) || !glob(p[i], a[i]) {
					return false
				}
			}
			return true
		case "IpAddress":
			_, network, err := net.ParseCIDR(want)
			return err == nil && network.Contains(net.ParseIP(v))
		case "DateLessThan", "DateGreaterThanEquals":
			a, _ := time.Parse(time.RFC3339, v)
			b, _ := time.Parse(time.RFC3339, want)
			return a.Before(b) == (operator == "DateLessThan")
		}
		panic(operator)
	})
}

// generated writes a policy.
func generated(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	keys := []string{}
	for key := range said {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var list []any
	for range 1 + r.IntN(3) {
		st := map[string]any{"Effect": pick("Allow", "Allow", "Deny"), "Resource": "*"}
		switch r.IntN(8) {
		case 0:
			st["NotPrincipal"] = map[string]any{"AWS": []string{pick("arn:aws:iam::111122223333:root", "*")}}
		case 1:
			st["Principal"] = map[string]any{"AWS": "arn:aws:iam::111122223333:role/x"}
		case 2:
			st["Principal"] = map[string]any{"Service": "s3.amazonaws.com"}
		case 3:
			st["Principal"] = map[string]any{"AWS": []string{"111122223333", "*"}}
		default:
			st["Principal"] = "*"
		}
		st[pick("Action", "Action", "Action", "NotAction")] = pick("kms:*", "kms:*", "kms:Decrypt", "kms:*crypt", "s3:*", "kms:Create*")
		conditions := map[string]any{}
		for range r.IntN(4) {
			key := pick(keys...)
			operator := pick(operatorsOf(key)...)
			if !strings.Contains(operator, ":") && r.IntN(4) == 0 {
				operator += "IfExists"
			}
			values := []string{pick(said[key]...), pick(said[key]...)}[:1+r.IntN(2)]
			if r.IntN(8) == 0 {
				operator, values = "Null", []string{pick("true", "false")}
			}
			byKey, _ := conditions[operator].(map[string]any)
			if byKey == nil {
				byKey = map[string]any{}
				conditions[operator] = byKey
			}
			byKey[key] = values
		}
		if len(conditions) > 0 {
			st["Condition"] = conditions
		}
		list = append(list, st)
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": list})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestJudge: of policies made at random, Open finds open just those for which the judge
// finds a request of a stranger that is allowed.
func TestJudge(t *testing.T) {
	open := 0
	const rounds = 1000
	for seed := range uint64(rounds) {
		text := generated(rand.New(rand.NewPCG(seed, 60)))
		want := judge(t, text)
		if got := Open(text, owner, now); got != want {
			t.Fatalf("seed %d: open %v, the judge says %v:\n%s", seed, got, want, text)
		}
		if want {
			open++
		}
	}
	if open < rounds/10 || open > rounds*9/10 {
		t.Errorf("%d of %d policies are open: the generator is one-sided", open, rounds)
	}
}

// FuzzOpen: no text makes Open fail or take long, and what the quick look turns away is not
// open.
func FuzzOpen(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(generated(rand.New(rand.NewPCG(seed, 1))))
	}
	f.Add(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Condition":{"Null":{"a":[1,true,null]}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 32<<10 {
			return
		}
		open := Open(text, owner, now)
		// With white space in front of it a policy is the same one, and an escaped name
		// takes the long way.
		if spelled := strings.Replace(text, `"Effect"`, `"\u0045ffect"`, 1); spelled != text && !open && Open(spelled, owner, now) {
			t.Errorf("the quick look turns away an open policy: %s", text)
		}
	})
}
