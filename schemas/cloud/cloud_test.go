package cloud

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

const (
	awsKey   = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1"
	awsAlias = "arn:aws:kms:eu-central-1:111122223333:alias/app"
	awsUser  = "arn:aws:iam::111122223333:user/ann"
)

// Whatever the names of a partition's others are, IsOthers knows them, and no others.
func TestOthers(t *testing.T) {
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
		for _, account := range []uint64{0, 7, 111122223333} {
			e := Others(wire.Entity{Scope: scope}, account, 3)
			if !IsOthers(e) || (e.Key == "") != (scope == wire.ScopePrincipal) || (e.Principal == "") != (scope == wire.ScopeKey) {
				t.Errorf("%v %d: %+v", scope, account, e)
			}
			if _, id, _ := Place(cmp.Or(e.Key, e.Principal)); account != 0 && id != fmt.Sprintf("%012d", account) {
				t.Errorf("%+v shows the account %q", e, id)
			}
		}
	}
	for _, name := range []string{"", "-", "arn:aws:kms::1:key/others/1", "arn:aws:kms:eu-central-1:1:others/1", "account:1"} {
		if e := (wire.Entity{Key: name, Principal: name}); IsOthers(e) {
			t.Errorf("%q passes for others", name)
		}
	}
}

func TestComplete(t *testing.T) {
	for name, want := range map[string]bool{
		awsKey: true, awsAlias: true, "alias/app": false, "1234": false, "": false, "-": false, awsUser: false,
		"arn:aws:kms:eu-central-1:key/1": false, "key:::::key/1": false,
	} {
		if got := Complete(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// TestFurtherClouds adds two entries to the list, with the names that Google Cloud and
// Azure write, and asks for names of all three clouds: each entry answers for its own.
func TestFurtherClouds(t *testing.T) {
	before := clouds
	defer func() { clouds = before }()
	azure := google()
	azure.provider = "azure"
	azure.owns = func(name string) bool { return strings.Contains(name, ".vault.azure.net/") }
	azure.form = func(key string) kms.Form {
		if strings.Count(key, "/") == 4 { // without a version it stands for the newest one
			return kms.FormAlias
		}
		return kms.FormKey
	}
	azure.place = func(name string) (string, string) { return "", "" }
	clouds = append(clouds[:1:1], google(), azure)

	for name, want := range map[string]struct {
		provider, account, region string
		form                      kms.Form
	}{
		awsKey:   {"aws", "111122223333", "eu-central-1", kms.FormMultiRegion},
		awsAlias: {"aws", "111122223333", "eu-central-1", kms.FormAlias},
		"-":      {"aws", "", "", kms.FormOther},
		"projects/test-project/locations/us/keyRings/ring/cryptoKeys/test-key": {"gcp", "test-project", "us", kms.FormKey},
		"https://contoso.vault.azure.net/keys/test":                            {"azure", "", "", kms.FormAlias},
		"https://contoso.vault.azure.net/keys/test/0123456789abcdef":           {"azure", "", "", kms.FormKey},
	} {
		if provider, account, region := Place(name); provider != want.provider || account != want.account || region != want.region || Form(name) != want.form {
			t.Errorf("%q: %q %q %q, form %v; want %+v", name, provider, account, region, Form(name), want)
		}
	}
	for name, want := range map[string]kms.Actor{
		awsUser: kms.ActorPerson, "s3.amazonaws.com": kms.ActorService, "denethor@lotr.com": kms.ActorPerson,
		"service-1@cloudkms.iam.gserviceaccount.com": kms.ActorService, "app@p.iam.gserviceaccount.com": kms.ActorWorkload,
	} {
		if got := Actor(name); got != want {
			t.Errorf("%q: actor %v, want %v", name, got, want)
		}
	}
	of := wire.Entity{Scope: wire.ScopePair, Key: awsKey, Principal: "denethor@lotr.com"}
	if e := Others(of, 0, 1); e.Principal != "others@-" || !IsOthers(e) || IsOthers(of) {
		t.Errorf("the others of %+v are %+v, want those of the principal's cloud", of, e)
	}
	if !Unusable("9", "key is not enabled, current state is: DISABLED.") || !Unusable("DisabledException", "") || Unusable("9", "") {
		t.Error("an error code is not asked of its own cloud")
	}
}
