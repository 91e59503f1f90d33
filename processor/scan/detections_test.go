package scan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/rule"
	"keytrail/processor/scan"
	"keytrail/processor/sigma"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

var update = flag.Bool("update", false, "write docs/detections.md anew")

// detection is a detection on AWS KMS or its audit trail that is published elsewhere,
// with its counterpart here.
type detection struct {
	peer string   // its publisher, and its name there
	asks string   // what it looks for
	ours []string // rules and detectors; sigma/NAME is docs/rules/NAME.yml
	note string   // how ours differs, and why
	// Each trail in hits triggers at least one of ours, and all together trigger all of
	// ours; no trail in misses triggers any.
	hits, misses []events
	why          string // there is no counterpart, for this reason
}

// events are CloudTrail records.
type events []string

const (
	account = "111122223333"
	ownKey  = "arn:aws:kms:eu-central-1:" + account + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
	begin   = "2026-03-02T09:00:00Z"
)

func keyARN(account string, n int) string {
	return fmt.Sprintf("arn:aws:kms:eu-central-1:%s:key/00000000-0000-4000-8000-%012d", account, n)
}

func resources(arn string) string {
	return `[{"type":"AWS::KMS::Key","ARN":"` + arn + `"}]`
}

func role(name string) string {
	return `{"type":"AssumedRole","principalId":"AROA:s","arn":"arn:aws:sts::` + account + `:assumed-role/` + name + `/s","accountId":"` + account + `",` +
		`"sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::` + account + `:role/` + name + `","accountId":"` + account + `"}}}`
}

// made returns a successful call of role app on ownKey, with members replaced, in pairs
// of a name and its JSON; "" removes a member.
func made(name string, members ...string) string {
	record := map[string]json.RawMessage{}
	set := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			if record[pairs[i]] = json.RawMessage(pairs[i+1]); pairs[i+1] == "" {
				delete(record, pairs[i])
			}
		}
	}
	set("eventVersion", `"1.11"`, "eventTime", `"`+begin+`"`, "eventSource", `"kms.amazonaws.com"`, "eventName", `"`+name+`"`, "awsRegion", `"eu-central-1"`,
		"userIdentity", role("app"), "sourceIPAddress", `"203.0.113.7"`, "requestParameters", `null`, "resources", resources(ownKey),
		"recipientAccountId", `"`+account+`"`, "eventType", `"AwsApiCall"`)
	set(members...)
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	h := fnv.New128a() // equal records are one call
	h.Write(text)
	s := h.Sum(nil)
	return strings.Replace(string(text), `{`, fmt.Sprintf(`{"eventID":"%x-%x-%x-%x-%x",`, s[:4], s[4:6], s[6:8], s[8:10], s[10:]), 1)
}

// trailCall is a call to AWS CloudTrail itself.
func trailCall(name, request string, members ...string) string {
	return made(name, append([]string{"eventSource", `"cloudtrail.amazonaws.com"`, "resources", "", "requestParameters", request}, members...)...)
}

// later returns the JSON of a time after begin.
func later(d time.Duration) string {
	t, err := time.Parse(time.RFC3339, begin)
	if err != nil {
		panic(err)
	}
	return `"` + t.Add(d).Format(time.RFC3339) + `"`
}

// history is three quiet days of ownKey and role app with two calls an hour, followed by
// after.
func history(after ...string) (list events) {
	for i := range 3 * 48 {
		list = append(list, made("Decrypt", "eventTime", later(time.Duration(i-3*48)*30*time.Minute)))
	}
	return append(list, after...)
}

// several returns n records of f within two minutes.
func several(n int, f func(i int, at string) string) (list events) {
	for i := range n {
		list = append(list, f(i, later(time.Duration(i)*2*time.Minute/time.Duration(n))))
	}
	return list
}

// exampleRules are those of docs/rules.
func exampleRules(t *testing.T) (rules *sigma.Rules, names map[string]string) {
	t.Helper()
	rules, problems := sigma.Load(os.DirFS(filepath.Join("..", "..", "docs", "rules")))
	if len(problems) > 0 || len(rules.Notes) > 0 {
		t.Fatal(problems, rules.Notes)
	}
	names = map[string]string{}
	for _, r := range rules.List {
		names["sigma/"+r.ID] = "sigma/" + strings.TrimSuffix(r.File, ".yml")
	}
	return rules, names
}

// found scans events and returns the number of anomalies per rule and detector.
func found(t *testing.T, list events) map[string]int {
	t.Helper()
	rules, names := exampleRules(t)
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{Detect: window.DefaultConfig(), Rules: rules, Workers: 1, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error {
		return fmt.Errorf("dead letter: %s", d.Detail)
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	if _, err := s.Finish(func(r *window.Result) error {
		for _, a := range r.Anomalies {
			name := a.Detector
			if short, ok := names[name]; ok {
				name = short
			}
			n[name]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func any1(n map[string]int, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return n[name] > 0 })
}

func TestDetections(t *testing.T) {
	for _, d := range detections {
		if d.why != "" {
			continue
		}
		t.Run(d.peer, func(t *testing.T) {
			t.Run("positive", func(t *testing.T) {
				all := map[string]bool{}
				for i, trail := range d.hits {
					n := found(t, trail)
					if !any1(n, d.ours) {
						t.Errorf("trail %d: found are %v, want one of %q", i, n, d.ours)
					}
					for name := range n {
						all[name] = true
					}
				}
				for _, name := range d.ours {
					if !all[name] {
						t.Errorf("no trail in which %s is found", name)
					}
				}
			})
			t.Run("negative", func(t *testing.T) {
				for i, trail := range d.misses {
					if n := found(t, trail); any1(n, d.ours) {
						t.Errorf("trail %d: found are %v, want none of %q", i, n, d.ours)
					}
				}
			})
		})
	}
}

// Every row has both tests, or a reason for having none; the names in it exist; and the
// page states what is tested.
func TestDetectionsAreDocumented(t *testing.T) {
	_, examples := exampleRules(t)
	known := []string{"rate", "first_use", "secret_sweep", "fan_out", "refusals", "key_probing", "new_origin", "mass_destruction", "key_enumeration", "foreign_write"}
	for _, r := range rule.All {
		known = append(known, r.Name)
	}
	known = append(known, slices.Collect(maps.Values(examples))...)
	seen := map[string]bool{}
	for _, d := range detections {
		if seen[d.peer] || d.asks == "" || (d.why == "") != (len(d.ours) > 0 && len(d.hits) > 0 && len(d.misses) > 0) || d.why != "" && len(d.ours)+len(d.hits)+len(d.misses) > 0 {
			t.Errorf("%s: a row needs a name of its own, and either rules with a positive and a negative test, or a reason", d.peer)
		}
		seen[d.peer] = true
		for _, name := range d.ours {
			if !slices.Contains(known, name) {
				t.Errorf("%s names %s, which does not exist", d.peer, name)
			}
		}
	}
	path := filepath.Join("..", "..", "docs", "detections.md")
	if *update {
		if err := os.WriteFile(path, page(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, page()) {
		t.Errorf("docs/detections.md is not what is tested (%v); go test ./processor/scan -run Detections -update writes it", err)
	}
}

// page is docs/detections.md.
func page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Comparison with published detections

The table lists published detections that concern AWS KMS, or the trail that carries its
events, each with the always-on rule, the detector ([DESIGN.md](../DESIGN.md#anomalies)) or the rule
of [docs/rules](rules) (` + "`sigma/…`" + `, to be adapted: [sigma.md](sigma.md)) that is its
counterpart. Every row has two tests, ` + "`TestDetections/NAME/positive` and `/negative`" + `
in ` + "`processor/scan`" + `, over records made for it; records that carry labels of their
publisher are scanned beside them (` + "`TestLabelledDetections`" + `).

This page is written by ` + "`go test ./processor/scan -run Detections -update`" + `.

| published detection | subject | in Keytrail | differences |
|---|---|---|---|
`)
	for _, d := range detections {
		if d.why == "" {
			fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", d.peer, d.asks, strings.Join(d.ours, "`, `"), d.note)
		}
	}
	b.WriteString("\n## Without a counterpart\n\n| published detection | subject | reason |\n|---|---|---|\n")
	for _, d := range detections {
		if d.why != "" {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", d.peer, d.asks, d.why)
		}
	}
	return b.Bytes()
}

// Records that, according to their publishers, a detection finds or does not find.
func TestLabelledDetections(t *testing.T) {
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	file, err := os.ReadFile(filepath.Join(dir, "panther-analysis", "panther-analysis_rule_tests.ndjson"))
	if err != nil {
		t.Skipf("NO REAL DATA: %v. Set KEYTRAIL_DATA to the folder with panther-analysis/ to try its labels.", err)
	}
	ours := map[string][]string{
		"aws_kms_cmk_loss.yml": {"key_disabled", "key_deletion_scheduled"}, "aws_cloudtrail_event_selectors_disabled.yml": {"management_events_off"},
		"aws_resource_made_public.yml": {"policy_public"}, "aws_cloudtrail_created.yml": {"logging_stopped", "trail_deleted"},
	}
	n := map[bool]int{}
	for line := range bytes.Lines(file) {
		var label struct {
			File     string          `json:"_test_file"`
			Name     string          `json:"_test_name"`
			Expected bool            `json:"_expected"`
			Log      json.RawMessage `json:"log"`
		}
		if err := json.Unmarshal(line, &label); err != nil {
			t.Fatal(err)
		}
		names, ok := ours[label.File]
		if !ok {
			continue // of S3, or about who calls from where
		}
		n[label.Expected]++
		if got := found(t, events{string(label.Log)}); any1(got, names) != label.Expected {
			t.Errorf("%s, %s: found are %v; %q expected: %v", label.File, label.Name, got, names, label.Expected)
		}
	}
	if n[true] < 5 || n[false] < 4 {
		t.Errorf("only %d records with a label that something is found, and %d without", n[true], n[false])
	}
}
