package keypolicy

import (
	"slices"
	"testing"
)

// The accounts of a policy are those that its allowing statements name, in any form.
func TestAccounts(t *testing.T) {
	const owner = "111122223333"
	f := func(policy string, want ...string) {
		t.Helper()
		if got := Accounts(policy, owner); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", policy, got, want)
		}
	}
	one := func(effect, principal, more string) string {
		return `{"Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:Decrypt","Resource":"*"` + more + `}]}`
	}
	f(one("Allow", `{"AWS":"arn:aws:iam::444455556666:root"}`, ""), "444455556666")
	f(one("Allow", `{"AWS":["444455556666","arn:aws:iam::111122223333:root","arn:aws-cn:iam::123456789012:role/x"]}`, ""), "123456789012", "444455556666")
	f(one("Allow", `{"AWS":"arn:aws:iam::\u0034\u003444455556666:root"}`, ""))
	f(one("Allow", `{"AWS":"\u003444455556666"}`, ""), "444455556666")
	f(one("Deny", `{"AWS":"arn:aws:iam::444455556666:root"}`, ""))
	f(one("Allow", `{"AWS":"arn:aws:iam::111122223333:root"}`, ""))
	f(one("Allow", `{"Service":"444455556666"}`, ""))
	f(one("Allow", `"*"`, `,"Condition":{"StringEquals":{"kms:CallerAccount":["444455556666","111122223333"]}}`), "444455556666")
	f(one("Allow", `"*"`, `,"Condition":{"StringNotEquals":{"kms:CallerAccount":"444455556666"}}`))
	f(one("Allow", `{"AWS":"arn:aws:iam::111122223333:root"}`, `,"Condition":{"StringEquals":{"kms:CallerAccount":"444455556666"}}`))
	f(`{"Statement":{"Effect":"allow","Principal":{"AWS":"444455556666"}}}`, "444455556666")
	f(`not a policy 444455556666`)
	f(``)
}
