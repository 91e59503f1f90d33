package awssink

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// needs are the permissions for the calls that sinks make, and for a KMS key on the way.
// Source: Service Authorization Reference of each service.
var needs = map[string][]string{"PutObject": {"s3:PutObject", "kms:GenerateDataKey"}, "PublishBatch": {"sns:Publish"},
	"SendMessageBatch": {"sqs:SendMessage"}}

var (
	policies = regexp.MustCompile("(?s)```json policy ([a-z0-9]+)\n(.*?)```")
	calls    = regexp.MustCompile(`\.api\.([A-Z][A-Za-z]+)\(`)
)

// TestPolicies: the documented policies allow the calls that the code makes, and nothing else.
func TestPolicies(t *testing.T) {
	page, err := os.ReadFile("../../../docs/sinks/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	found := policies.FindAllStringSubmatch(string(page), -1)
	if len(found) != 3 {
		t.Fatalf("%d policies, want 3", len(found))
	}
	for _, m := range found {
		var policy struct {
			Version   string
			Statement []struct{ Effect, Action, Resource string }
		}
		if err := json.Unmarshal([]byte(m[2]), &policy); err != nil || policy.Version != "2012-10-17" {
			t.Errorf("%s: %v, version %q", m[1], err, policy.Version)
		}
		var allowed, wanted []string
		for _, s := range policy.Statement {
			allowed = append(allowed, s.Action)
			if s.Effect != "Allow" || !strings.HasPrefix(s.Resource, "arn:aws:") || strings.Contains(strings.TrimSuffix(s.Resource, "/*"), "*") {
				t.Errorf("%s: %+v names no resource", m[1], s)
			}
		}
		files, err := filepath.Glob("../" + m[1] + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			code, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range calls.FindAllStringSubmatch(string(code), -1) {
				wanted = append(wanted, needs[call[1]]...)
			}
		}
		if slices.Sort(allowed); len(wanted) == 0 || !slices.Equal(allowed, slices.Sorted(slices.Values(wanted))) {
			t.Errorf("%s: the policy allows %q, and the code needs %q", m[1], allowed, wanted)
		}
	}
}
