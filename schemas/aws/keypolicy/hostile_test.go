package keypolicy

import (
	"fmt"
	"strings"
	"testing"
)

// TestHostilePolicies: a policy that was made to cost much costs no more than maxWork, and
// is taken for open where that is not enough to tell.
func TestHostilePolicies(t *testing.T) {
	list := func(n int, one func(i int) string) string {
		var parts []string
		for i := range n {
			parts = append(parts, one(i))
		}
		return strings.Join(parts, ",")
	}
	values := func(n int) string {
		return list(n, func(i int) string { return fmt.Sprintf(`"arn:aws:iam::*%d*:r*%d"`, i, i) })
	}
	deny := func(condition string) string {
		return `{"Effect":"Deny","Principal":"*","Action":"kms:*","Condition":{` + condition + `}}`
	}
	allow := strings.Replace(deny(""), "Deny", "Allow", 1)
	for name, text := range map[string]string{
		"stars":      everyone(`"ArnLike":{"aws:PrincipalArn":"` + strings.Repeat("*", 60_000) + `"}`),
		"wildcards":  everyone(`"StringLike":{"aws:PrincipalArn":"` + strings.Repeat("*a", 30_000) + `"}`),
		"values":     everyone(`"ArnLike":{"aws:PrincipalArn":[` + values(3000) + `]}`),
		"conditions": everyone(list(2000, func(i int) string { return fmt.Sprintf(`"StringNot%cquals":{"aws:PrincipalTag/x":"%d"}`, "Ee"[i%2], i) })),
		"denials": `{"Statement":[` + allow + `,` + list(200, func(i int) string {
			return deny(fmt.Sprintf(`"StringEquals":{"aws:PrincipalTag/a%d":"x"},"StringNotEquals":{"aws:PrincipalTag/a%d":"y"}`, i%20, (i+7)%20))
		}) + `]}`,
		"statements": `{"Statement":[` + list(400, func(i int) string {
			return strings.Replace(deny(fmt.Sprintf(`"StringEquals":{"aws:PrincipalOrgID":"o-%d"}`, i)), "Deny", "Allow", 1)
		}) + `]}`,
		"nested": everyone(strings.Repeat(`{"a":`, 5000) + strings.Repeat(`}`, 5000)),
	} {
		s := strangers(text, owner, now)
		open := Open(text, owner, now)
		t.Logf("%s: %d bytes, open %v", name, len(text), open)
		if len(s) != 2 || name == "statements" && open || name == "nested" && open || name == "stars" && !open {
			t.Errorf("%s: open %v", name, open)
		}
	}
}
