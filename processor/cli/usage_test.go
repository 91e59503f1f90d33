package cli_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// usageOf is what usage prints of a key, as JSON.
type usageOf struct {
	Key, Verdict, State    string
	Reasons                []string
	First                  *time.Time `json:"first_use"`
	Last                   *time.Time `json:"last_use"`
	Calls, Refused, Failed int64
	ByOperation            map[string]int64 `json:"by_operation"`
	ByPrincipal            map[string]int64 `json:"by_principal"`
	ByContext              map[string]int64 `json:"by_context_class"`
	ByDay                  map[string]int64 `json:"by_day"`
	Accounts, Networks     map[string]int64
	Principals             []struct{ Principal string }
	Coverage               struct {
		Account, Region string
		Days            int
		Gaps            []struct{ From, To time.Time }
	}
	Inputs struct {
		Objects, Bytes int64
		SHA256         string
	}
	OpenGrants []struct{ ID, Grantee string } `json:"open_grants"`
}

// usages returns the output of usage as JSON, by key.
func usages(t *testing.T, text string) map[string]usageOf {
	t.Helper()
	found := map[string]usageOf{}
	for _, line := range lines(text) {
		var u usageOf
		if err := json.Unmarshal([]byte(line), &u); err != nil || found[u.Key].Key != "" {
			t.Fatalf("%v in %s", err, line)
		}
		found[u.Key] = u
	}
	return found
}

// byHand counts a trail from its JSON alone.
type byHand struct {
	calls, refused, failed int64
	operations, days       map[string]int64
	first, last            time.Time
}

var noUse = regexp.MustCompile(`^(Describe|Get|List|Create|Update|Delete|Put|Enable|Disable|Schedule|Cancel|Import|Retire|Revoke|Rotate|Replicate|Synchronize|Connect|Disconnect|Tag|Untag|GenerateRandom)`)

func countByHand(t *testing.T, dir string) map[string]*byHand {
	t.Helper()
	keys := map[string]*byHand{}
	eachKey(t, dir, func(r *handRecord, key string) {
		k := keys[key]
		if k == nil {
			k = &byHand{operations: map[string]int64{}, days: map[string]int64{}}
			keys[key] = k
		}
		k.calls++
		k.operations[r.EventName]++
		k.days[r.EventTime.UTC().Format("2006-01-02")]++
		switch {
		case strings.Contains(r.ErrorCode, "AccessDenied"):
			k.refused++
		case r.ErrorCode != "" || r.ErrorMessage != "":
			k.failed++
		case !noUse.MatchString(r.EventName):
			if k.first.IsZero() || r.EventTime.Before(k.first) {
				k.first = r.EventTime
			}
			if r.EventTime.After(k.last) {
				k.last = r.EventTime
			}
		}
	})
	return keys
}

// TestRowC5PastUse: what usage shows of a key equals a count by hand, and its principals' calls the oracle's.
func TestRowC5PastUse(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 41, Duration: 30 * time.Hour, Events: 4000, DuplicateShare: 0.1})
	want := countByHand(t, trail)
	out := keytrail(t, nil, "usage", trail).wants(t, 0)
	got := usages(t, out.stdout)
	result, err := oracle.Count([]string{trail}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	principals := map[string]map[string]int64{}
	for _, r := range result.Rows {
		key := r.Key
		if r.Bound != "" && strings.Contains(key, ":alias/") {
			key = r.Bound
		}
		if r.Scope == "pair" {
			if principals[key] == nil {
				principals[key] = map[string]int64{}
			}
			principals[key][r.Principal] += int64(r.Calls)
		}
	}
	equal := 0
	for key, w := range want {
		g := got[key]
		text := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
		ours := fmt.Sprint(g.Calls, g.Refused, g.Failed, g.ByOperation, g.ByDay)
		theirs := fmt.Sprint(w.calls, w.refused, w.failed, w.operations, w.days)
		if g.First != nil {
			ours += text(*g.First) + text(*g.Last)
		}
		if !w.first.IsZero() {
			theirs += text(w.first) + text(w.last)
		}
		if ours == theirs {
			equal++
		} else if g.Calls <= w.calls { // more calls name an alias only, which the count by hand leaves out
			t.Errorf("%s\n%s\nby hand\n%s", key, ours, theirs)
		}
		if !maps.Equal(g.ByPrincipal, principals[key]) {
			t.Errorf("%s by principal: %v\nthe oracle has %v", key, g.ByPrincipal, principals[key])
		}
	}
	if equal < 10 || len(want)-equal > 2 {
		t.Errorf("of %d keys, %d are equal", len(want), equal)
	}
	// the order of the input changes nothing
	var files []string
	filepath.WalkDir(trail, func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	slices.Reverse(files)
	if again := keytrail(t, nil, append([]string{"usage"}, files...)...).wants(t, 0); again.stdout != out.stdout {
		t.Error("another order of files gives another output")
	}
	for key := range want { // the table and CSV have the same
		table := keytrail(t, nil, "usage", "-o", "table", "--key", key, trail).wants(t, 0).stdout
		if !strings.Contains(table, fmt.Sprintf("%d, %d refused, %d failed", got[key].Calls, got[key].Refused, got[key].Failed)) {
			t.Errorf("%s", table)
		}
		n := int64(0)
		for _, row := range csvRows(t, keytrail(t, nil, "usage", "-o", "csv", "--key", key, trail).wants(t, 0).stdout) {
			var calls int64
			fmt.Sscan(row["calls"], &calls)
			n += calls
		}
		markdown := keytrail(t, nil, "usage", "-o", "markdown", "--key", key, trail).wants(t, 0).stdout
		_, principals, _ := strings.Cut(markdown, "|---|---|---|---:|---:|---:|---|\n")
		if n != got[key].Calls || strings.Count(principals, "\n") != len(got[key].ByPrincipal) {
			t.Errorf("CSV has %d calls, want %d; Markdown is\n%s", n, got[key].Calls, markdown)
		}
		break
	}
}

// TestUsageInputs: the hash of the inputs is that of sha256sum.
func TestUsageInputs(t *testing.T) {
	dir := t.TempDir()
	var sums []string
	size := 0
	for i := range 3 {
		text := event(fmt.Sprint(i), "u", time.Date(2026, 1, 5, 0, i, 0, 0, time.UTC)) + strings.Repeat(" ", i) + "\n"
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".json")), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, fmt.Sprintf("%x\n", sha256.Sum256([]byte(text))))
		size += len(text)
	}
	slices.Sort(sums)
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(sums, ""))))
	for _, u := range usages(t, keytrail(t, nil, "usage", dir).wants(t, 0).stdout) {
		if u.Inputs.SHA256 != want || u.Inputs.Objects != 3 || u.Inputs.Bytes != int64(size) {
			t.Errorf("the inputs are %+v, want %s", u.Inputs, want)
		}
	}
}

// life is a key's use in days before the end of a year with an event each day.
type life struct {
	uses   []int  // days
	more   string // further records
	gap    bool   // 30 days without an event, 60 days before the end
	silent bool   // no event but the key's
}

const usageKey = "arn:aws:kms:us-east-1:111122223333:key/u"

func (l life) json() string {
	end := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	var b strings.Builder
	for day := range 200 {
		if !l.silent && !(l.gap && day >= 60 && day < 90) {
			fmt.Fprintln(&b, event(fmt.Sprint("e", day), "other", end.AddDate(0, 0, -day)))
		}
	}
	for _, day := range l.uses {
		fmt.Fprintln(&b, event(fmt.Sprint("u", day), "u", end.AddDate(0, 0, -day)))
	}
	b.WriteString(l.more)
	return b.String()
}

// on is a record of the key u, days before the end.
func on(days int, name, more string) string {
	at := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC).AddDate(0, 0, -days)
	text := strings.Replace(event(name, "admin", at), `"Decrypt"`, `"`+name+`"`, 1)
	return strings.Replace(strings.Replace(text, "key/admin", "key/u", 1), `"recipientAccountId"`, more+`"recipientAccountId"`, 1) + "\n"
}

// TestUsageVerdicts: each verdict, and that nothing is safe without 90 covered days, with
// gaps, or with open grants.
func TestUsageVerdicts(t *testing.T) {
	created := on(150, "CreateKey", "")
	grant := on(140, "CreateGrant", `"responseElements":{"grantId":"g"},"requestParameters":{"granteePrincipal":"x"},`)
	scheduled := on(20, "ScheduleKeyDeletion", "")
	for name, c := range map[string]struct {
		life
		verdict, reason string
	}{
		"used":             {life{uses: []int{100, 3}}, "in_use", "Decrypt by arn:aws:iam::111122223333:user/u on 2026-12-28"},
		"idle":             {life{uses: []int{45}}, "idle", "2026-11-16"},
		"safe":             {life{uses: []int{100}}, "safe_to_disable_first", "Disable the key first"},
		"never used":       {life{more: created}, "safe_to_disable_first", "90 covered days"},
		"only reads since": {life{uses: []int{100}, more: on(1, "DescribeKey", "")}, "safe_to_disable_first", ""},
		"open grant":       {life{uses: []int{100}, more: grant}, "idle", "1 of its grants are open"},
		"closed grant":     {life{uses: []int{100}, more: grant + on(130, "RetireGrant", `"additionalEventData":{"grantId":"g"},`)}, "safe_to_disable_first", ""},
		"gap":              {life{uses: []int{100}, gap: true}, "idle", "no event from 2026-10-02"},
		"not covered":      {life{uses: []int{100, 0}, silent: true, more: on(0, "DescribeKey", "")}, "in_use", ""},
		"created only":     {life{silent: true, more: created + on(1, "DescribeKey", "")}, "unknown", "fewer than 90"},
		"pending":          {life{uses: []int{100}, more: scheduled}, "pending_deletion", "scheduled on 2026-12-11"},
		"still called": {life{more: scheduled + on(10, "Encrypt", `"errorCode":"KMSInvalidStateException","errorMessage":"key is pending deletion",`)},
			"pending_deletion_still_called", "cancel the deletion"},
		"deleted": {life{more: on(2, "DeleteKey", "")}, "deleted", ""},
		"blind": {life{uses: []int{100}, more: strings.Replace(strings.Replace(on(9, "StopLogging", `"requestParameters":{"name":"audit"},`), "kms.amazonaws", "cloudtrail.amazonaws", 1), "key/u", "key/none", 1)},
			"idle", "StopLogging"},
	} {
		t.Run(name, func(t *testing.T) {
			u := usages(t, keytrail(t, strings.NewReader(c.json()), "usage", "-").wants(t, 0).stdout)[usageKey]
			if u.Verdict != c.verdict || !strings.Contains(strings.Join(u.Reasons, " "), c.reason) {
				t.Errorf("the verdict is %s because of %q, want %s and %q", u.Verdict, u.Reasons, c.verdict, c.reason)
			}
		})
	}
}

// TestUsageOfAlias: a call that names only an alias counts for the key that it stood for.
func TestUsageOfAlias(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	both := strings.Replace(event("1", "u", at), `"resources"`, `"requestParameters":{"keyId":"alias/app"},"resources"`, 1)
	only := regexp.MustCompile(`"resources":\[.*?\],`).ReplaceAllString(event("2", "u", at.Add(10*time.Minute)), `"errorCode":"AccessDenied","requestParameters":{"keyId":"alias/app"},`)
	before := strings.Replace(strings.Replace(only, at.Add(10*time.Minute).Format(time.RFC3339), at.Add(-time.Second).Format(time.RFC3339), 1), `"eventID":"2"`, `"eventID":"3"`, 1)
	text := both + "\n" + only + "\n" + before
	for key, want := range map[string]string{usageKey: "2 1", "u": "2 1", "arn:aws:kms:us-east-1:111122223333:alias/app": "1 1", "alias/app": "1 1"} {
		got := usages(t, keytrail(t, strings.NewReader(text), "usage", "--key", key, "-").wants(t, 0).stdout)
		name := usageKey
		if strings.Contains(key, "alias") {
			name = "arn:aws:kms:us-east-1:111122223333:alias/app"
		}
		if u := got[name]; fmt.Sprint(u.Calls, u.Refused) != want {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

// TestUsageOfAPrincipal: --principal counts its calls, and leaves the verdict on the key.
func TestUsageOfAPrincipal(t *testing.T) {
	text := life{uses: []int{100, 3}, more: on(50, "Decrypt", "")}.json()
	for _, principal := range []string{"user/admin", "arn:aws:iam::111122223333:user/admin", "admin"} {
		got := usages(t, keytrail(t, strings.NewReader(text), "usage", "--principal", principal, "-").wants(t, 0).stdout)
		if u := got[usageKey]; len(got) != 1 || u.Calls != 1 || u.Verdict != "in_use" {
			t.Errorf("%s: %+v", principal, got)
		}
	}
}

func TestUsageFails(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	trail := filepath.Join("..", "..", "deploy", "trail")
	keytrail(t, nil, "usage", "--key", key).wants(t, 2, "usage needs files")
	keytrail(t, nil, "usage", "--key", key, trail+"x").wants(t, 1, "cannot read")
	if out := keytrail(t, nil, "usage", "--key", key+"0", "-o", "table", trail).wants(t, 0, "the input has no call of "+key+"0"); out.stdout != "" {
		t.Errorf("a key that nobody used gives\n%s", out.stdout)
	}
	dead := inTemp(t, "dead.jsonl")
	text := event("1", "u", time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)) + "\n{\"eventVersion\":\"1\",\"a\":}\n"
	out := keytrail(t, strings.NewReader(text), "usage", "--dead-letter", dead, "-").wants(t, 3, "bad_json", "1 KMS key shown")
	if len(lines(out.stdout)) != 1 {
		t.Errorf("it prints\n%s", out.stdout)
	}
	// text of records is not markup
	evil := strings.ReplaceAll(event("1", "u", time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)), "user/u", "user/<img>|[a](b)")
	if out := keytrail(t, strings.NewReader(evil), "usage", "-o", "markdown", "--key", usageKey, "-").wants(t, 0).stdout; strings.ContainsAny(out, "<>") || strings.Contains(out, "img>|") {
		t.Errorf("%s", out)
	}
}

// TestScanKeys: scan prints the ledger of each key as records that its schema admits, the
// same in any order of the input.
func TestScanKeys(t *testing.T) {
	records := strings.SplitAfter(life{uses: []int{100, 3}, more: on(150, "CreateKey", `"requestParameters":{"keySpec":"SYMMETRIC_DEFAULT","origin":"AWS_KMS","multiRegion":false},`) +
		on(140, "CreateGrant", `"responseElements":{"grantId":"g"},"requestParameters":{"granteePrincipal":"x"},`) + on(139, "CreateAlias", `"requestParameters":{"aliasName":"alias/app"},`) +
		on(138, "EnableKeyRotation", `"requestParameters":{"rotationPeriodInDays":90},`) + on(20, "DisableKey", "") + on(20, "EnableKey", "")}.json(), "\n")
	scanned := func(records []string) string {
		out := keytrail(t, strings.NewReader(strings.Join(records, "")), "scan", "--windows", "none", "--keys", "-").wants(t, 0)
		for _, line := range lines(out.stdout) {
			_, r := validated(t, line)
			if r.EventName != "keytrail.key_state" || r.str("aws.kms.key.arn") != usageKey {
				continue
			}
			got := fmt.Sprint(r.str("keytrail.key.state"), r.str("keytrail.key.created"), r.str("keytrail.key.first_use"), r.str("keytrail.key.last_use"),
				r.int("keytrail.key.grants.open"), r.int("aws.kms.rotation_period_days"), r.str("aws.kms.key.spec"))
			if want := "enabled2026-08-03T12:00:00Z2026-09-22T12:00:00Z2026-12-28T12:00:00Z1 90SYMMETRIC_DEFAULT"; got != want {
				t.Errorf("%s\nwant %s in\n%s", got, want, line)
			}
			if !strings.Contains(line, `alias/app`) || !strings.Contains(line, "rotation_enabled") {
				t.Error(line)
			}
			return r.str("log.record.uid")
		}
		t.Fatalf("no ledger of the key in\n%s", out.stdout)
		return ""
	}
	first := scanned(records)
	slices.Reverse(records)
	if again := scanned(append(records, records...)); again != first {
		t.Errorf("another order gives %s, not %s", again, first)
	}
	keytrail(t, nil, "scan", "--keys", "-o", "table", filepath.Join("..", "..", "deploy", "trail")).wants(t, 2, "--keys prints keytrail.key_state records")
}
