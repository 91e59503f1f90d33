package cli_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// use is one principal's use of a KMS key.
type use struct {
	first, last           time.Time
	calls, denied, failed int
	classes               map[string]int
}

func (u *use) String() string {
	return fmt.Sprint(u.first.UTC().Format(time.RFC3339), " ", u.last.UTC().Format(time.RFC3339), " ", u.calls, " ", u.denied, " ", u.failed, " ", u.classes)
}

// usesOf sums the oracle's rows of a minute, by KMS key and principal; those of an alias
// also belong to its key.
func usesOf(rows []oracle.Row) map[string]map[string]*use {
	keys := map[string]map[string]*use{}
	for _, r := range rows {
		targets := []string{r.Key}
		if strings.Contains(r.Key, ":alias/") && r.Bound != "" {
			targets = append(targets, r.Bound)
		}
		for _, key := range targets {
			if r.Scope != "pair" {
				continue
			}
			if keys[key] == nil {
				keys[key] = map[string]*use{}
			}
			u := keys[key][r.Principal]
			if u == nil {
				u = &use{first: r.Start, last: r.Start, classes: map[string]int{}}
				keys[key][r.Principal] = u
			}
			if r.Start.Before(u.first) {
				u.first = r.Start
			}
			if r.Start.After(u.last) {
				u.last = r.Start
			}
			u.calls, u.denied, u.failed = u.calls+r.Calls, u.denied+r.Denied, u.failed+r.Failed
			for class, n := range r.Classes {
				u.classes[class] += n
			}
		}
	}
	return keys
}

// printed returns what usage prints as JSON.
func printed(t *testing.T, text, key string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, r := range each(t, text, validated) {
		start, _ := time.Parse(time.RFC3339, r.str("keytrail.window.start"))
		end, err := time.Parse(time.RFC3339, r.str("keytrail.window.end"))
		if err != nil || found[r.str("keytrail.principal.id")] != "" || r.str("keytrail.window.scope") != "pair" || key != r.str("aws.kms.key.arn") && key != r.str("aws.kms.alias.arn") {
			t.Errorf("a record of %s on %s in scope %s, %v", r.str("keytrail.principal.id"), r.str("aws.kms.key.arn"), r.str("keytrail.window.scope"), err)
		}
		u := use{first: start, last: end.Add(-time.Minute), calls: int(r.int(windowCalls)), denied: int(r.int("keytrail.window.denied")), failed: int(r.int("keytrail.window.failed")), classes: map[string]int{}}
		for class := range operationClasses {
			if n := int(r.int(callsPrefix + class)); n > 0 {
				u.classes[class] = n
			}
		}
		found[r.str("keytrail.principal.id")] = u.String()
	}
	return found
}

// The users and times of a key equal the oracle's counts by the minute, for the keys with
// the most users and for aliases.
func TestUsageEqualsTheOracle(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 41, Duration: 30 * time.Hour, Events: 4000, DuplicateShare: 0.1})
	result, err := oracle.Count([]string{trail}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	keys := usesOf(result.Rows)
	delete(keys, "-")
	byUsers := slices.SortedFunc(maps.Keys(keys), func(a, b string) int { return len(keys[b]) - len(keys[a]) })
	some := byUsers[:4]
	if i := slices.IndexFunc(byUsers, func(key string) bool { return strings.Contains(key, ":alias/") }); i >= 0 {
		some = append(some, byUsers[i])
	} else {
		t.Log("no call of this trail names an alias only")
	}
	for _, key := range some {
		out := keytrail(t, nil, "usage", "--key", key, trail).wants(t, 0, fmt.Sprintf(" on the key by %d principal", len(keys[key])))
		want := map[string]string{}
		for principal, u := range keys[key] {
			want[principal] = u.String()
		}
		if got := printed(t, out.stdout, key); !maps.Equal(got, want) || len(want) < 2 {
			t.Errorf("%s: %v\nwant %v", key, got, want)
		}
	}
	table := keytrail(t, nil, "usage", "-o", "table", "--key", some[0], trail).wants(t, 0).stdout
	for principal, u := range keys[some[0]] {
		name := strings.Join(strings.SplitN(principal, ":", 6)[min(4, strings.Count(principal, ":")):], ":")
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^%s %s +%d +%d +%d  .*%s: [a-z]+ \d+`, u.first.UTC().Format("2006-01-02 15:04Z"), u.last.UTC().Format("2006-01-02 15:04Z"),
			u.calls, u.denied, u.failed, regexp.QuoteMeta(name)))
		if !row.MatchString(table) {
			t.Errorf("no row %v in\n%s", row, table)
		}
	}
}

// A call that names only an alias counts for the alias's key.
func TestUsageOfAlias(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	both := strings.Replace(event("1", "u", at), `"resources"`, `"requestParameters":{"keyId":"alias/app"},"resources"`, 1)
	only := regexp.MustCompile(`"resources":\[.*?\],`).ReplaceAllString(event("2", "u", at.Add(10*time.Minute)), `"errorCode":"AccessDenied","requestParameters":{"keyId":"alias/app"},`)
	for key, want := range map[string]string{"key/u": "2026-01-05 00:00Z 2026-01-05 00:10Z         2       1", "alias/app": "2026-01-05 00:10Z 2026-01-05 00:10Z         1       1"} {
		out := keytrail(t, strings.NewReader(both+"\n"+only), "usage", "-o", "table", "--key", "arn:aws:kms:us-east-1:111122223333:"+key, "-").wants(t, 0).stdout
		if !strings.Contains(out, want) {
			t.Errorf("%s: want %q in\n%s", key, want, out)
		}
	}
}

func TestUsageFails(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	trail := filepath.Join("..", "..", "deploy", "trail")
	keytrail(t, nil, "usage", trail).wants(t, 2, "usage needs --key with the ARN of a KMS key or an alias")
	keytrail(t, nil, "usage", "--key", key).wants(t, 2, "usage needs --key")
	keytrail(t, nil, "usage", "--key", "1234abcd-12ab-34cd-56ef-1234567890ab", trail).wants(t, 2, "usage needs --key")
	keytrail(t, nil, "usage", "--key", "arn:aws:iam::111122223333:role/key", trail).wants(t, 2, "usage needs --key")
	keytrail(t, nil, "usage", "--key", key, trail+"x").wants(t, 1, "cannot read")
	if out := keytrail(t, nil, "usage", "--key", key+"0", "-o", "table", trail).wants(t, 0, "0 of them on the key by 0 principals"); out.stdout != "" {
		t.Errorf("a key that nobody used gives\n%s", out.stdout)
	}
	dead := inTemp(t, "dead.jsonl")
	text := event("1", "u", time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)) + "\n{\"eventVersion\":\"1\",\"a\":}\n"
	out := keytrail(t, strings.NewReader(text), "usage", "--key", "arn:aws:kms:us-east-1:111122223333:key/u", "--dead-letter", dead, "-").wants(t, 3, "bad_json", "1 of them on the key by 1 principal;")
	if len(lines(out.stdout)) != 1 {
		t.Errorf("it prints\n%s", out.stdout)
	}
}
