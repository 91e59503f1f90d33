package scan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
)

// Reported shapes of records, in data files. Each counts as the oracle and its expect.txt
// say.
func TestReportedShapes(t *testing.T) {
	dir := filepath.Join(dataDir(t), "reports", "shapes")
	const app, key = "arn:aws:iam::444455556666:role/payments", "arn:aws:kms:eu-west-1:444455556666:key/0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
	for _, c := range []struct {
		name string
		want []string // per window, parts of its name and counts
		text string   // no anomaly contains it
	}{
		{"01-network-activity-twice", []string{`principal "" "` + app + `" * calls=1 `, `key "` + key + `" "" * calls=1 `}, ""},
		{"43-reencrypt-two-owners", []string{
			`principal "" "account:444455556666" * calls=1 `, `key "arn:aws:kms:eu-west-1:777788889999:key/aaaa1111-0000-4000-8000-000000000001" "" * calls=1 `,
			`key "arn:aws:kms:eu-west-1:888899990000:key/bbbb2222-0000-4000-8000-000000000002" "" * calls=1 `,
		}, ""},
		{"49-session-arn-other-type", []string{`principal "" "arn:aws:iam::444455556666:role/Admin" * calls=8 `}, ""},
		{"50-error-message-only", []string{`key "` + key + `" "" * calls=1 denied=0 failed=1`}, ""},
		{"55-invalid-state-causes", []string{`key "` + key + `" "" * calls=2 denied=0 failed=2`}, "disabled"},
		{"57-cardinality-custom-object", nil, ""},
	} {
		paths := []string{filepath.Join(dir, c.name)}
		files, _ := filepath.Glob(filepath.Join(paths[0], "*.json"))
		got := scanAll(t, files, 1, maxFacts)
		equalsOracle(t, got, files)
		var all []string
		for name, text := range got.windows {
			all = append(all, name+" "+text)
		}
		for _, w := range c.want {
			before, after, _ := strings.Cut(w, "*")
			if n := slices.IndexFunc(all, func(s string) bool { return strings.HasPrefix(s, before) && strings.Contains(s, after) }); n < 0 {
				t.Errorf("%s: no window %q in\n%s", c.name, w, strings.Join(all, "\n"))
			}
		}
		if text := strings.Join(got.records, "\n"); c.text != "" && strings.Contains(text, c.text) {
			t.Errorf("%s: something says %q:\n%s", c.name, c.text, text)
		}
	}
	// The network activity event is recognized by its reason.
	got := scanAll(t, []string{filepath.Join(dir, "01-network-activity-twice")}, 1, maxFacts)
	if by := got.totals.FilteredBy; by[decoding.NetworkActivity] != 1 || got.totals.Filtered != 1 {
		t.Errorf("filtered %d, by the reason %v", got.totals.Filtered, by)
	}
}

// shaped makes one call's records in the shapes that trails have: by several owners with
// their own keys or all, twice for a VPC endpoint, by sessions of any identity type, with
// an error in words only.
func shaped(rng *rand.Rand, n int) (records []json.RawMessage) {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	accounts := []string{"111122223333", "444455556666", "777788889999"}
	key := func(account int) string {
		return fmt.Sprintf("arn:aws:kms:eu-central-1:%s:key/k%d", accounts[account], rng.IntN(2))
	}
	first, second := key(rng.IntN(3)), key(rng.IntN(3))
	role := pick("app", "batch")
	at := fmt.Sprintf(`"eventTime":"2026-03-02T09:%02d:%02dZ"`, rng.IntN(10), rng.IntN(60))
	operation := pick("ReEncrypt", "ReEncrypt", "ReEncrypt", "Decrypt")
	if operation == "Decrypt" {
		second = first
	}
	failure := pick("", "", "", `,"errorMessage":"no"`, `,"errorCode":"AccessDenied"`)
	record := func(id, recipient, who, rest string) {
		text := fmt.Sprintf(`{"eventVersion":"1.11",%s,"eventSource":"kms.amazonaws.com","eventName":"%s","awsRegion":"eu-central-1","eventID":"%s%d","sharedEventID":"call%d","recipientAccountId":"%s","userIdentity":{%s}%s%s}`,
			at, operation, id, n, n, recipient, who, failure, rest)
		for range 1 + rng.IntN(2) {
			records = append(records, json.RawMessage(text))
		}
	}
	kind := pick(`"type":"AssumedRole",`, `"type":"IAMUser",`, `"type":"Unknown",`, ``)
	session := kind + `"accountId":"` + accounts[0] + `","arn":"arn:aws:sts::` + accounts[0] + `:assumed-role/` + role + `/s` + pick("1", "2") + `"` +
		pick(``, `,"sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::`+accounts[0]+`:role/team/`+role+`"}}`)
	shows := func(first, second string) string {
		var listed, named []string
		for _, k := range []string{first, second} {
			if k != "" && (operation == "ReEncrypt" || len(listed) == 0) {
				listed = append(listed, `{"ARN":"`+k+`"}`)
			}
		}
		switch rng.IntN(4) {
		case 0:
			named = append(named, `"sourceKeyId":"alias/s"`)
		case 1:
			named = append(named, `"destinationKeyId":"`+second+`"`)
		}
		return `,"resources":[` + strings.Join(listed, ",") + `],"requestParameters":{` + strings.Join(named, ",") + `}`
	}
	if rng.IntN(3) > 0 { // the caller's record shows both keys, one or none
		record("c", accounts[0], session, shows(pick(first, ""), pick(second, "")))
	}
	owner := `"type":"AWSAccount","accountId":"` + accounts[0] + `"`
	if rng.IntN(3) > 0 {
		record("o", accounts[1], owner, shows(first, ""))
	}
	if rng.IntN(3) > 0 {
		record("p", accounts[2], owner, shows(pick(first, ""), second))
	}
	if rng.IntN(3) == 0 {
		record("v", accounts[0], session, `,"eventCategory":"NetworkActivity","eventType":"AwsVpceEvent"`)
	}
	return records
}

// TestShapesEqualTheOracle checks that such records count as in the oracle, in any order,
// with duplicates, and with or without temporary files.
func TestShapesEqualTheOracle(t *testing.T) {
	both := 0
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 43))
		var records []json.RawMessage
		for n := range 300 {
			records = append(records, shaped(rng, n)...)
		}
		var want []string
		for round := range 2 {
			rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			dir := t.TempDir()
			half := len(records) / 2
			pack(t, filepath.Join(dir, "a.json.gz"), records[:half+20])
			pack(t, filepath.Join(dir, "b.json.gz"), records[half:])
			got := scanAll(t, []string{dir}, 1+round, []int{maxFacts, 70}[round])
			equalsOracle(t, got, []string{dir})
			if want == nil {
				want = got.records
			}
			if !slices.Equal(got.records, want) {
				t.Errorf("seed %d round %d: windows or anomalies differ", seed, round)
			}
			for name := range got.windows {
				if strings.HasPrefix(name, "key") {
					both++
				}
			}
		}
	}
	if both < 100 {
		t.Errorf("%d windows of keys: this tests too little", both)
	}
}
