package normalize

import (
	"strings"
	"testing"

	sc "keytrail/schemas/semconv"
)

// TestReEncryptKeys: both keys count, in the order of source and destination.
func TestReEncryptKeys(t *testing.T) {
	f := func(members, want, want2 string) {
		t.Helper()
		r := one(t, kmsEvent("ReEncrypt", members))
		if got, got2 := r.text(sc.AWSKMSKeyARN), r.text(sc.AWSKMSDestinationKeyARN); got != want || got2 != want2 {
			t.Errorf("%s: keys %q and %q, want %q and %q", members, got, got2, want, want2)
		}
	}
	list := func(arns ...string) string {
		var items []string
		for _, a := range arns {
			items = append(items, `{"ARN":"`+a+`"}`)
		}
		return `,"resources":[` + strings.Join(items, ",") + `]`
	}
	request := func(source, destination string) string {
		return `,"requestParameters":{"sourceKeyId":"` + source + `","destinationKeyId":"` + destination + `"}`
	}
	alias := "arn:aws:kms:eu-central-1:111122223333:alias/x"
	id2 := key2[len(key2)-36:]
	f(list(key1, key2), key1, key2)
	f(list(" "+key1+" ", key1, key2), key1, key2)
	f(list(key1, key2)+request("alias/s", "alias/x"), key1, key2)
	f(list(key2, key1)+request("", id2), key1, key2) // in the other order
	f(list(key1, key1), key1, key1)
	f(list(key1, key1)+request("", "alias/x"), key1, key1) // the alias of the one key
	f(list(key1, key1)+request("", id2), key1, key2)
	// One key is listed, and the request names the other.
	f(list(key1), key1, "")
	f(list(key1)+request(key1, key1), key1, key1)
	f(list(key1)+request("", key2), key1, key2)
	f(list(key1)+request(key1, "alias/x"), key1, alias)
	f(list(key2)+request(key1, id2), key1, key2)
	f(list(key2)+request("alias/x", key2), alias, key2)
	f(list(key2)+request("", key2), key2, "")
	f(list(key2)+request(key1, ""), key1, key2)
	f(list(key2)+request("alias/x", ""), key2, "")
	f(list(alias)+request(key1, "alias/x"), key1, alias)
	// None is listed.
	f(request(key1, id2), key1, key2)
	f(request("", "alias/x"), alias, "")
	f(request(key1, key1), key1, key1)
	f(list(key1)+request(key1, ""), key1, "") // the other may be another
	f("", "", "")
}

// TestAliases: an alias is told as it is named and in full, and only beside the
// key that it stands for.
func TestAliases(t *testing.T) {
	f := func(name, members, alias, arn, key string) {
		t.Helper()
		r := one(t, kmsEvent(name, members))
		if got := r.text(sc.AWSKMSAliasName); got != alias {
			t.Errorf("%s %s: alias %q, want %q", name, members, got, alias)
		}
		if got := r.text(sc.AWSKMSAliasARN); got != arn {
			t.Errorf("%s %s: alias ARN %q, want %q", name, members, got, arn)
		}
		if got := r.text(sc.AWSKMSKeyARN); got != key {
			t.Errorf("%s %s: key %q, want %q", name, members, got, key)
		}
	}
	const arn, foreign = "arn:aws:kms:eu-central-1:111122223333:alias/x", "arn:aws:kms:eu-west-1:444455556666:alias/y"
	resource := `,"resources":[{"ARN":"` + key1 + `"}]`
	both := `,"resources":[{"ARN":"` + arn + `"},{"ARN":"` + key1 + `"}]`
	f("Encrypt", `,"requestParameters":{"keyId":"alias/x"}`+resource, "alias/x", arn, key1)
	f("Encrypt", `,"requestParameters":{"keyId":"`+foreign+`"}`+resource, foreign, foreign, key1)
	f("Encrypt", `,"requestParameters":{"keyId":"alias/x"},"errorCode":"NotFoundException"`, "alias/x", arn, arn)
	f("Encrypt", `,"requestParameters":{"keyId":"`+key1+`"}`+resource, "", "", key1)
	f("CreateAlias", `,"requestParameters":{"aliasName":"alias/x","targetKeyId":"`+key1[len(key1)-36:]+`"}`, "alias/x", arn, key1)
	f("CreateAlias", `,"requestParameters":{"aliasName":"alias/x","targetKeyId":"`+key1+`"},"responseElements":{"aliasArn":"`+foreign+`"}`, "alias/x", foreign, key1)
	f("UpdateAlias", `,"requestParameters":{"aliasName":"alias/x","targetKeyId":"`+key2+`"}`+both, "alias/x", arn, key1)
	f("DeleteAlias", `,"requestParameters":{"aliasName":"alias/x"}`+both, "alias/x", arn, key1)
	f("DeleteAlias", `,"requestParameters":{"aliasName":"alias/x"}`, "alias/x", arn, arn)
	// The name as it is listed, which has the account that a copy may lack; not one that only ends alike.
	f("DescribeKey", `,"requestParameters":{"keyId":"alias/y"},"resources":[{"ARN":"arn:aws:kms:eu-central-1:1:alias/my/alias/y"},{"ARN":"`+foreign+`"},{"ARN":"`+key1+`"}]`, "alias/y", foreign, key1)
	f("ListAliases", "", "", "", "")
	f("ListAliases", `,"requestParameters":{"keyId":"`+key1+`"}`, "", "", key1)
}

// TestReEncryptAliases: each alias stands beside its own key.
func TestReEncryptAliases(t *testing.T) {
	f := func(members, alias, destination string) {
		t.Helper()
		r := one(t, kmsEvent("ReEncrypt", members))
		if got, got2 := r.text(sc.AWSKMSAliasARN), r.text(sc.AWSKMSDestinationAliasARN); got != alias || got2 != destination {
			t.Errorf("%s: aliases %q and %q, want %q and %q", members, got, got2, alias, destination)
		}
	}
	const prefix = "arn:aws:kms:eu-central-1:111122223333:"
	keys := `,"resources":[{"ARN":"` + key1 + `"},{"ARN":"` + key2 + `"}]`
	f(`,"requestParameters":{"sourceKeyId":"alias/s","destinationKeyId":"alias/d"}`+keys, prefix+"alias/s", prefix+"alias/d")
	f(`,"requestParameters":{"destinationKeyId":"alias/d"}`+keys, "", prefix+"alias/d")
	f(`,"requestParameters":{"sourceKeyId":"alias/s","destinationKeyId":"`+key2+`"}`+keys, prefix+"alias/s", "")
	f(keys+`,"requestParameters":null`, "", "")
	f(`,"resources":[{"ARN":"`+prefix+`alias/d"},{"ARN":"`+key1+`"}]`, "", "")
}

// TestListedNames: resources that are no ARNs of keys name the key when nothing
// else does.
func TestListedNames(t *testing.T) {
	f := func(resources, want string) {
		t.Helper()
		if got := one(t, kmsEvent("DescribeKey", `,"resources":[`+resources+`]`)).text(sc.AWSKMSKeyARN); got != want {
			t.Errorf("%s: %q, want %q", resources, got, want)
		}
	}
	f(`{"ARN":"`+key1[len(key1)-36:]+`"}`, key1)
	f(`{"ARN":"alias/x"},{"ARN":"`+key1+`"}`, key1)
	f(`{"ARN":"alias/x"}`, "arn:aws:kms:eu-central-1:111122223333:alias/x")
	f(`{"ARN":"arn:aws-cn:kms:cn-north-1:111122223333:key/k"}`, "arn:aws-cn:kms:cn-north-1:111122223333:key/k")
	f(`{"ARN":" arn:aws:kms:r:1:alias/x:key/y"}`, "arn:aws:kms:r:1:alias/x:key/y")
	f(`{"ARN":""},{"accountId":"1"}`, "")
}

// TestPrimaryKey: what shows the primary key of a multi-Region key.
func TestPrimaryKey(t *testing.T) {
	f := func(name, members, multi, primary, replica string) {
		t.Helper()
		r := one(t, kmsEvent(name, members))
		if got := [3]string{r.text(sc.AWSKMSKeyMultiRegion), r.text(sc.AWSKMSKeyPrimaryARN), r.text(sc.AWSKMSKeyReplicaARN)}; got != [3]string{multi, primary, replica} {
			t.Errorf("%s %s: %q, want %q", name, members, got, [3]string{multi, primary, replica})
		}
	}
	const west = "arn:aws:kms:us-west-2:111122223333:key/mrk-0001"
	of := `,"resources":[{"ARN":"` + mrk + `"}]`
	configuration := func(arn string) string {
		return `"multiRegionConfiguration":{"multiRegionKeyType":"PRIMARY","primaryKey":{"arn":"` + arn + `","region":"r"},"replicaKeys":[{"arn":"` + west + `"}]}`
	}
	f("CreateKey", `,"requestParameters":{"multiRegion":true},"responseElements":{"keyMetadata":{"arn":"`+mrk+`",`+configuration(mrk)+`}}`, "true", mrk, "")
	f("CreateKey", `,"requestParameters":{"multiRegion":true},"responseElements":{"keyMetadata":{"arn":"`+west+`",`+configuration(mrk)+`}}`, "true", mrk, "") // the replica's
	f("CreateKey", `,"requestParameters":{"multiRegion":true},"errorCode":"AccessDenied"`, "true", "", "")
	f("CreateKey", `,"requestParameters":{"multiRegion":false},"responseElements":{"keyMetadata":{"arn":"`+key1+`"}}`, "false", "", "")
	f("ReplicateKey", of+`,"requestParameters":{"keyId":"mrk-0001","replicaRegion":"us-west-2"},"responseElements":{"replicaKeyMetadata":{"arn":"`+west+`","keyState":"Creating",`+configuration(mrk)+`}}`, "true", mrk, west)
	f("ReplicateKey", `,"requestParameters":{"keyId":"mrk-0001","replicaRegion":"us-west-2"}`, "true", mrk, west)
	f("ReplicateKey", `,"requestParameters":{"keyId":"mrk-0001"}`, "true", mrk, "")
	f("ReplicateKey", `,"requestParameters":{"keyId":"mrk-0001","replicaRegion":"us-west-2"},"errorCode":"UnsupportedOperationException"`, "true", "", "")
	f("UpdatePrimaryRegion", of+`,"requestParameters":{"keyId":"mrk-0001","primaryRegion":"us-west-2"}`, "true", west, "")
	f("UpdatePrimaryRegion", of+`,"requestParameters":{"keyId":"mrk-0001","primaryRegion":"us-west-2"},"errorCode":"DisabledException"`, "true", "", "")
	f("UpdatePrimaryRegion", of, "true", "", "")
	f("UpdatePrimaryRegion", `,"requestParameters":{"keyId":"odd:key/1","primaryRegion":"us-west-2"}`, "", "", "")
	f("SynchronizeMultiRegionKey", of, "true", "", "")
	f("Decrypt", of, "true", "", "")
	f("Decrypt", `,"resources":[{"ARN":"`+key1+`"}]`, "", "", "")
}

// TestCrossAccount: a ReEncrypt is cross-account by either of its keys, and only
// where the caller's account is known.
func TestCrossAccount(t *testing.T) {
	f := func(name, members, want string) {
		t.Helper()
		if got := one(t, kmsEvent(name, members)).text(sc.KeytrailCrossAccount); got != want {
			t.Errorf("%s %s: %q, want %q", name, members, got, want)
		}
	}
	caller := `,"userIdentity":{"type":"Root","accountId":"111122223333"}`
	f("ReEncrypt", caller+`,"resources":[{"ARN":"`+key1+`"},{"ARN":"`+keyB+`"}]`, "true")
	f("ReEncrypt", caller+`,"resources":[{"ARN":"`+keyB+`"},{"ARN":"`+key1+`"}]`, "true")
	f("ReEncrypt", caller+`,"resources":[{"ARN":"`+key1+`"},{"ARN":"`+key2+`"}]`, "false")
	f("Decrypt", caller+`,"requestParameters":{"keyId":"alias/x"}`, "false")
	f("Decrypt", caller, "")
	f("Decrypt", `,"resources":[{"ARN":"`+key1+`"}]`, "")
}
