package arn

import (
	"testing"

	"keytrail/schemas/wire"
)

func TestAccount(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:kms:eu-central-1:111122223333:key/a": "111122223333", "arn:aws:kms:eu-central-1:1:alias/a:b": "1", "arn:aws:s3:::bucket": "", "arn:aws:iam::22:role/x": "22", "": "", "-": "", "a:b:c:d": "", "a:b:c:d:e": "",
	} {
		if got := Account(arn); got != want {
			t.Errorf("%q: %q, want %q", arn, got, want)
		}
	}
}

// Whatever the names of a partition's others are, IsOthers knows them, and no others.
func TestOthers(t *testing.T) {
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
		for _, account := range []uint64{0, 7, 111122223333} {
			e := Others(scope, account, 3)
			if !IsOthers(e) || (e.KeyARN == "") != (scope == wire.ScopePrincipal) || (e.Principal == "") != (scope == wire.ScopeKey) {
				t.Errorf("%v %d: %+v", scope, account, e)
			}
		}
	}
	for _, name := range []string{"", "-", "arn:aws:kms::1:key/others/1", "arn:aws:kms:eu-central-1:1:others/1", "account:1"} {
		if e := (wire.Entity{KeyARN: name, Principal: name}); IsOthers(e) {
			t.Errorf("%q passes for others", name)
		}
	}
}

func TestPrincipals(t *testing.T) {
	var n Names
	for name, want := range map[string]struct {
		account         string
		person, service bool
	}{
		"account:444455556666":                                                    {"444455556666", false, false},
		"arn:aws:iam::111122223333:role/x":                                        {"111122223333", false, false},
		"arn:aws:iam::111122223333:user/ann":                                      {"111122223333", true, false},
		"arn:aws:iam::111122223333:root":                                          {"111122223333", true, false},
		"arn:aws:sts::111122223333:federated-user/a":                              {"111122223333", true, false},
		"arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_1": {"1", true, false},
		"AWS Internal": {"", false, true}, "s3.amazonaws.com": {"", false, true}, "s3.amazonaws.com.cn": {"", false, true}, "-": {"", false, false},
	} {
		if got := n.Account(name); got != want.account || n.Person(name) != want.person || n.Service(name) != want.service {
			t.Errorf("%q: account %q, person %v, service %v; want %+v", name, got, n.Person(name), n.Service(name), want)
		}
	}
	if account, region := Place("arn:aws:kms:eu-central-1:111122223333:key/a"); account != "111122223333" || region != "eu-central-1" {
		t.Errorf("account %q, Region %q", account, region)
	}
}
