package oracle

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at is an event of kms.amazonaws.com at a minute of a day.
func at(id string, day, minute int, name, members string) string {
	return fmt.Sprintf(`{"eventSource":"kms.amazonaws.com","eventName":%q,"eventID":%q,"eventTime":%q,"awsRegion":"eu-west-1","recipientAccountId":"222233334444",`+
		`"userIdentity":{"type":"IAMUser","arn":"u"}%s}`, name, id, time.Date(2026, 1, day, 0, minute, 0, 0, time.UTC).Format(time.RFC3339), members)
}

const (
	toA     = `,"requestParameters":{"aliasName":"alias/x","targetKeyId":"aaaa"}`
	toB     = `,"requestParameters":{"aliasName":"alias/x","targetKeyId":"` + keyB + `"}`
	gone    = `,"requestParameters":{"aliasName":"alias/x"}`
	refused = `,"requestParameters":{"keyId":"alias/x"},"errorCode":"AccessDenied"`
	shown   = `,"requestParameters":{"keyId":"alias/x"},"resources":[{"ARN":"` + keyB + `"}]`
)

// bounds returns the bindings of a key in each of its windows, in order.
func bounds(t *testing.T, key string, records ...string) string {
	t.Helper()
	var list []string
	for _, row := range judge(t, records...).Rows {
		if row.Key == key && row.Scope == "key" {
			name := row.Bound[strings.LastIndexByte(row.Bound, '/')+1:]
			if strings.HasPrefix(name, "mrk-") {
				name = strings.Split(row.Bound, ":")[3]
			}
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func TestAliasesAreBound(t *testing.T) {
	f := func(want string, records ...string) {
		t.Helper()
		reversed := []string{}
		for _, r := range records {
			reversed = append([]string{r}, reversed...)
		}
		for _, order := range [][]string{records, reversed, append(records, records...)} {
			if got := bounds(t, aliasX, order...); got != want {
				t.Errorf("bound to %q, want %q, by\n%s", got, want, strings.Join(order, "\n"))
			}
		}
	}
	use := func(day, minute int) string { return at(fmt.Sprint(day, minute), day, minute, "Encrypt", refused) }
	f("", use(1, 0))
	f("aaaa aaaa", at("a", 1, 0, "CreateAlias", toA), use(1, 6), use(30, 0))
	f("aaaa", use(1, 0), at("a", 1, 4, "CreateAlias", toA)) // later, but before the window's end
	f(" bbbb", use(1, 0), at("a", 1, 5, "UpdateAlias", toB), use(1, 9))
	f("aaaa bbbb ", at("a", 1, 0, "CreateAlias", toA), use(1, 1), at("b", 1, 6, "UpdateAlias", toB), use(1, 5), at("c", 1, 11, "DeleteAlias", gone), use(1, 13))
	f("aaaa bbbb", at("a", 1, 0, "CreateAlias", toA), use(1, 1), at("b", 1, 6, "Encrypt", shown), use(1, 5)) // shown in use
	// A failed call binds nothing; a refused call that shows both names does.
	f("", at("a", 1, 0, "CreateAlias", toA+`,"errorCode":"AlreadyExistsException"`), use(1, 6))
	f("aaaa aaaa", at("a", 1, 0, "CreateAlias", toA), at("b", 1, 1, "DeleteAlias", gone+`,"errorCode":"AccessDenied"`), use(1, 6))
	f("bbbb", at("b", 1, 0, "Encrypt", shown+`,"errorCode":"DisabledException"`), use(1, 6))
	// Within a second: a key before none, the greater key before the other.
	f("aaaa", at("a", 1, 0, "DeleteAlias", gone+`,"resources":[{"ARN":"`+keyA+`"}]`), at("b", 1, 0, "CreateAlias", toA), use(1, 6))
	f("bbbb", at("a", 1, 0, "CreateAlias", toA), at("b", 1, 0, "UpdateAlias", toB), use(1, 6))
	// Forgotten after Retention without a mention, but not before.
	create := at("a", 1, 0, "CreateAlias", toA)
	f("aaaa", create, use(36, 4))
	f("", create, use(36, 5))
	f("aaaa aaaa", create, use(20, 0), use(50, 0))
	f("", create, use(40, 0), at("c", 40, 9, "DescribeKey", shown))
	f(" bbbb", create, use(40, 0), at("c", 40, 9, "DescribeKey", shown), use(60, 0))
}

// An uncounted copy of a call shows bindings as well.
func TestEveryCopyShows(t *testing.T) {
	shared := `,"sharedEventID":"s"`
	caller := at("e1", 1, 0, "Decrypt", refused+shared)
	owner := strings.Replace(at("e2", 1, 0, "Decrypt", shown+shared), `"arn":"u"`, `"accountId":"999900001111"`, 1)
	for _, order := range [][]string{{caller, owner}, {owner, caller}} {
		if got := bounds(t, aliasX, order...); got != "bbbb" {
			t.Errorf("bound to %q, want bbbb", got)
		}
	}
}

func TestAliasesOfReEncrypt(t *testing.T) {
	names := `,"requestParameters":{"sourceKeyId":"alias/x","destinationKeyId":"alias/y"}`
	both := at("a", 1, 0, "ReEncrypt", names+`,"resources":[{"ARN":"`+keyA+`"},{"ARN":"`+keyB+`"}]`)
	use := at("b", 1, 6, "ReEncrypt", names+`,"errorCode":"AccessDenied"`)
	if x, y := bounds(t, aliasX, both, use), bounds(t, strings.Replace(aliasX, "/x", "/y", 1), both, use); x != "aaaa" || y != "bbbb" {
		t.Errorf("bound to %q and %q, want aaaa and bbbb", x, y)
	}
}

func TestPrimaryKeysAreBound(t *testing.T) {
	west, north := "arn:aws:kms:eu-west-1:222233334444:key/mrk-1", "arn:aws:kms:eu-north-1:222233334444:key/mrk-1"
	on := func(minute int, arn, name, members string) string {
		return at(name+arn+fmt.Sprint(minute), 1, minute, name, `,"resources":[{"ARN":"`+arn+`"}]`+members)
	}
	f := func(key, want string, records ...string) {
		t.Helper()
		if got := bounds(t, key, records...); got != want {
			t.Errorf("primary of %s: %q, want %q", key, got, want)
		}
	}
	configuration := `"multiRegionConfiguration":{"primaryKey":{"arn":"` + west + `"}}`
	replicate := on(0, west, "ReplicateKey", `,"requestParameters":{"replicaRegion":"eu-north-1"}`)
	move := on(10, west, "UpdatePrimaryRegion", `,"requestParameters":{"primaryRegion":"eu-north-1"}`)
	f(west, "", on(0, west, "Decrypt", ""))
	f(west, "eu-west-1", on(0, west, "CreateKey", `,"responseElements":{"keyMetadata":{`+configuration+`}}`))
	f(north, "eu-west-1", on(0, north, "DescribeKey", `,"responseElements":{"keyMetadata":{`+configuration+`}}`))
	f(west, "eu-west-1 eu-north-1", replicate, move)
	f(north, "eu-west-1 eu-west-1", replicate, move, on(1, north, "Decrypt", ""), on(12, north, "Decrypt", ""))
	f(north, "eu-west-1 eu-north-1", replicate, on(10, north, "UpdatePrimaryRegion", `,"requestParameters":{"primaryRegion":"eu-north-1"}`), on(1, north, "Decrypt", ""))
	f(north, "eu-west-1", on(0, west, "ReplicateKey", `,"responseElements":{"replicaKeyMetadata":{"arn":"`+north+`"}}`), on(1, north, "Decrypt", ""))
	f(west, "", on(0, west, "UpdatePrimaryRegion", `,"requestParameters":{"primaryRegion":"eu-north-1"},"errorCode":"AccessDenied"`))
	f(keyA, "", on(0, keyA, "CreateKey", `,"responseElements":{"keyMetadata":{`+configuration+`}}`)) // no multi-Region key
}
