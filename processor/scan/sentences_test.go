package scan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// operations are those of AWS KMS, with their effect: u they use key material, d they
// disable or destroy a key.
var operations = strings.Fields(`Encrypt:u Decrypt:u GenerateDataKey:u GenerateDataKeyWithoutPlaintext:u GenerateDataKeyPair:u
	GenerateDataKeyPairWithoutPlaintext:u ReEncrypt:u Sign:u Verify:u VerifyMac:u GenerateMac:u DeriveSharedSecret:u CreateGrant:u
	RetireGrant RevokeGrant DisableKey:d ScheduleKeyDeletion:d DeleteImportedKeyMaterial:d DeleteAlias DeleteCustomKeyStore
	DisconnectCustomKeyStore PutKeyPolicy EnableKeyRotation DisableKeyRotation RotateKeyOnDemand ReplicateKey UpdatePrimaryRegion
	CreateKey CreateAlias UpdateAlias EnableKey CancelKeyDeletion ImportKeyMaterial UpdateKeyDescription TagResource DescribeKey
	GetKeyPolicy GetKeyRotationStatus GetPublicKey ListKeyPolicies ListGrants ListResourceTags GetParametersForImport`)

var (
	saysUse     = regexp.MustCompile(`\bused\b|\b[0-9]+ uses?\b|encrypted under|touched`)
	saysDestroy = regexp.MustCompile(`\b(disabled|deleted|scheduled) |of which [1-9][0-9]* succeeded`)
	saysTry     = regexp.MustCompile(`tried to|was refused|calls? refused|none of which succeeded`)
	numbers     = regexp.MustCompile(`\b([0-9]+) (uses?|calls?|different KMS keys)\b`)
)

// Every sentence over all operations and outcomes is true of the calls that it is about: a
// person makes 30 calls, on a known key and on 29 others, beside a quiet program.
func TestSentencesAreTrue(t *testing.T) {
	const calls = 30
	sentences := 0
	for _, op := range operations {
		name, effect, _ := strings.Cut(op, ":")
		for _, code := range []string{"", "AccessDenied", "KMSInvalidStateException"} {
			list := history(several(calls, func(i int, at string) string {
				key := ownKey
				if i > 0 {
					key = keyARN(account, i)
				}
				members := []string{"eventTime", at, "userIdentity", mallory, "resources", resources(key),
					"requestParameters", fmt.Sprintf(`{"encryptionContext":{"SecretARN":"arn:aws:secretsmanager:eu-central-1:111122223333:secret:s%d"}}`, i)}
				if code != "" {
					members = append(members, "errorCode", strconv.Quote(code))
				}
				return made(name, members...)
			})...)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "t.json.gz"), []byte(`{"Records":[`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, a := range scanned(t, dir).published {
				if !strings.Contains(a.Reason, "mallory") {
					continue // about the key, which the program uses, too
				}
				sentences++
				f := func(is bool, what string) {
					if is {
						t.Errorf("%s %q: %s: %q", name, code, what, a.Reason)
					}
				}
				said := strings.Split(a.Reason, "; ")[0] // what others did, and when, follows
				f(saysUse.MatchString(said) && (effect != "u" || code != ""), "no key was used")
				f(saysDestroy.MatchString(said) && a.Kind != "rule" && (effect != "d" || code != ""), "nothing was destroyed")
				f(saysTry.MatchString(said) && code == "", "every call succeeded")
				f(strings.Contains(said, "refused") && code != "AccessDenied", "no call was refused")
				for _, m := range numbers.FindAllStringSubmatch(said, -1) {
					n, _ := strconv.Atoi(m[1])
					f(!slices.Contains([]int{1, calls - 1, calls}, n), "no such number: "+m[0])
				}
			}
		}
	}
	if sentences < 150 {
		t.Errorf("%d sentences: this tests little", sentences)
	}
}
