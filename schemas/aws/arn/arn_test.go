package arn

import (
	"testing"

	"keytrail/schemas/kms"
)

func TestAccount(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:kms:eu-central-1:111122223333:key/a": "111122223333", "arn:aws:kms:eu-central-1:1:alias/a:b": "1",
		"arn:aws:s3:::bucket": "", "arn:aws:iam::22:role/x": "22", "": "", "-": "", "a:b:c:d": "", "a:b:c:d:e": "",
	} {
		if got := Account(arn); got != want {
			t.Errorf("%q: %q, want %q", arn, got, want)
		}
	}
}

// TestForm: a caller can write anything into a key id, and a text with a key's ARN in it is
// a key, as package normalize has it.
func TestForm(t *testing.T) {
	for arn, want := range map[string]kms.Form{
		"": 0, "-": 0, "alias/x": 0,
		"arn:aws:kms:eu-central-1:1:alias/x":           kms.FormAlias,
		"arn:aws:kms:eu-central-1:1:key/1234":          kms.FormKey,
		"arn:aws:kms:eu-central-1:1:key/mrk-1234":      kms.FormMultiRegion,
		"arn:aws:kms:eu-central-1:1:alias/mrk-1234":    kms.FormAlias,
		"arn:aws:kms:eu-central-1:1:key/1:alias/x":     kms.FormKey,
		"arn:aws:kms:eu-central-1:1:key/1:key/mrk-1":   kms.FormMultiRegion,
		"arn:aws:kms:eu-central-1:1:alias/x:key/mrk-1": kms.FormMultiRegion,
	} {
		if got := Form(arn); got != want {
			t.Errorf("%q: %v, want %v", arn, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:kms:eu-central-1:111122223333:key/a":  "eu-central-1:111122223333:key/a",
		"arn:aws:iam::111122223333:role/a:b":           "111122223333:role/a:b",
		"arn:aws-cn:kms:cn-north-1:111122223333:key/a": "aws-cn:cn-north-1:111122223333:key/a",
		"arn:aws:kms:eu-central-1:key/a":               "arn:aws:kms:eu-central-1:key/a",
		"s3.amazonaws.com":                             "s3.amazonaws.com",
		"a:b:c:d:e:f":                                  "a:b:c:d:e:f",
		"-":                                            "-",
	} {
		if got := Short(arn); got != want {
			t.Errorf("%q: %q, want %q", arn, got, want)
		}
	}
}

func TestPrincipals(t *testing.T) {
	for name, want := range map[string]struct {
		account string
		actor   kms.Actor
	}{
		"account:444455556666":                                                    {"444455556666", kms.ActorWorkload},
		"arn:aws:iam::111122223333:role/x":                                        {"111122223333", kms.ActorWorkload},
		"arn:aws:iam::111122223333:user/ann":                                      {"111122223333", kms.ActorPerson},
		"arn:aws:iam::111122223333:root":                                          {"111122223333", kms.ActorPerson},
		"arn:aws:sts::111122223333:federated-user/a":                              {"111122223333", kms.ActorPerson},
		"arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_1": {"1", kms.ActorPerson},
		"AWS Internal": {"", kms.ActorService}, "s3.amazonaws.com": {"", kms.ActorService},
		"s3.amazonaws.com.cn": {"", kms.ActorService}, "-": {"", kms.ActorWorkload},
		"arn:aws:iam::1:role/s3.amazonaws.com": {"1", kms.ActorWorkload}, // a name that anybody may choose
		"arn:aws:iam::1:user/s3.amazonaws.com": {"1", kms.ActorPerson},
	} {
		if PrincipalAccount(name) != want.account || Actor(name) != want.actor {
			t.Errorf("%q: account %q, actor %v; want %+v", name, PrincipalAccount(name), Actor(name), want)
		}
	}
}
