package deploytest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// needs are the permissions for the calls that sources make, by the Service Authorization
// Reference of each service. Without s3:ListBucket, S3 reports a missing object as forbidden.
var needs = map[string][]string{
	"GetObject": {"s3:GetObject", "s3:ListBucket"}, "ListObjectsV2": {"s3:ListBucket"},
	"ReceiveMessage": {"sqs:ReceiveMessage"}, "DeleteMessageBatch": {"sqs:DeleteMessage"},
	"ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"}, "GetQueueAttributes": {"sqs:GetQueueAttributes"},
	"LookupEvents": {"cloudtrail:LookupEvents"}, "NewListPublicKeysPaginator": {"cloudtrail:ListPublicKeys"},
	"ErrorCode": nil, "ErrorMessage": nil, "NewFromConfig": nil, // these call nothing
}

// apiCall is a call of AWS in the code of a source.
var apiCall = regexp.MustCompile(`\b(?:api|cloudtrail)\.([A-Z][A-Za-z0-9]+)\(`)

// words is a string or a list of them.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var list []any
	if text[0] != '[' {
		text = slices.Concat([]byte{'['}, text, []byte{']'})
	}
	err := json.Unmarshal(text, &list)
	for _, one := range list {
		if word, ok := one.(string); ok { // a list is a condition of the template
			*w = append(*w, word)
		}
	}
	return err
}

// policy is a policy of IAM or of a resource.
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Principal        any
		Action, Resource words
		Condition        map[string]map[string]string
	}
}

// allowed returns the actions that a policy allows, each once and in order.
func (p *policy) allowed() []string {
	var list []string
	for _, s := range p.Statement {
		if s.Effect == "Allow" {
			list = append(list, s.Action...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// needed returns the permissions for the calls that the sources of these folders make.
func needed(t *testing.T, folders ...string) (list []string) {
	t.Helper()
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(projectRoot, "processor/source/aws", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			code, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, call := range apiCall.FindAllStringSubmatch(string(code), -1) {
				permissions, ok := needs[call[1]]
				if !ok {
					t.Errorf("%s calls %s: add its permissions to the list in this test", name, call[1])
				}
				list = append(list, permissions...)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestReaderPolicies: the policies allow the calls that each source makes, and no others, on
// named resources where AWS knows resources of the action.
func TestReaderPolicies(t *testing.T) {
	f := func(name string, folders ...string) {
		t.Helper()
		var p policy
		if err := json.Unmarshal([]byte(file(t, "deploy/aws/"+name)), &p); err != nil || p.Version != "2012-10-17" {
			t.Fatalf("%s: %v, version %q", name, err, p.Version)
		}
		if got, want := p.allowed(), needed(t, folders...); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s allows %q, and the code needs %q", name, got, want)
		}
		for _, s := range p.Statement {
			named := !strings.Contains(strings.TrimSuffix(s.Resource[0], "/*"), "*")
			if unnamed := strings.HasPrefix(s.Action[0], "cloudtrail:"); s.Effect != "Allow" || len(s.Resource) != 1 ||
				named == unnamed {
				t.Errorf("%s: %+v; want one named resource, except for CloudTrail's", name, s)
			}
		}
	}
	f("sqs.json", "sqs", "s3")
	f("s3.json", "s3")
	f("lookup.json", "lookup")
	f("digest.json", "digest")
}

// template is what the tests read of the CloudFormation template. A function such as
// !Sub counts as its argument.
type template struct {
	Parameters map[string]any `yaml:"Parameters"`
	Resources  map[string]struct {
		Type       string         `yaml:"Type"`
		DependsOn  string         `yaml:"DependsOn"`
		Properties map[string]any `yaml:"Properties"`
	} `yaml:"Resources"`
}

// TestTrailTemplate holds that the template's names exist, that a service may act for this
// stack only, that nobody writes without TLS, and that nothing of the trail is left out.
func TestTrailTemplate(t *testing.T) {
	text := file(t, "deploy/aws/trail.yaml")
	var d template
	if err := yaml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		name := m[1] + m[2] + m[3]
		_, isResource := d.Resources[name]
		if _, isParameter := d.Parameters[name]; !isResource && !isParameter {
			t.Errorf("%s names %q, which the template does not have", m[0], name)
		}
	}
	policies := 0
	for name, r := range d.Resources {
		if document, ok := r.Properties["PolicyDocument"]; ok {
			policies++
			checkResourcePolicy(t, name, r.Type, document)
		}
	}
	trail, queue := d.Resources["Trail"].Properties, d.Resources["Queue"].Properties
	for _, setting := range []string{"IsLogging", "IsMultiRegionTrail", "IncludeGlobalServiceEvents", "EnableLogFileValidation"} {
		if trail[setting] != true {
			t.Errorf("Trail: %s is %v, want true", setting, trail[setting])
		}
	}
	if policies != 4 || d.Resources["Trail"].DependsOn != "BucketPolicy" || d.Resources["Bucket"].DependsOn != "TopicPolicy" {
		t.Errorf("%d policies, or what needs a policy is created before it", policies)
	}
	// docs/aws.md: a killed reader uses up one receive.
	redrive, _ := queue["RedrivePolicy"].(map[string]any)
	if again, _ := redrive["maxReceiveCount"].(int); again < 10 {
		t.Errorf("Queue: maxReceiveCount is %d, want 10 or more", again)
	}
	if strings.Contains(text, "ExcludeManagementEventSources") || !strings.Contains(text, "ReadWriteType: All") {
		t.Error("Trail: it does not have all events of KMS")
	}
}

// reference is a name in a function of the template; those of AWS have a colon.
var reference = regexp.MustCompile(
	`!Ref ([A-Z][A-Za-z]*)(?:[^:A-Za-z]|$)|!GetAtt ([A-Z][A-Za-z]*)\.|\$\{([A-Z][A-Za-z]*)(?:\.[A-Za-z]+)?\}`)

// checkResourcePolicy holds one policy to the rules: services are bound to the stack by
// aws:SourceArn, and access without TLS is denied.
func checkResourcePolicy(t *testing.T, name, kind string, document any) {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal(text, &p); err != nil || p.Version != "2012-10-17" {
		t.Fatalf("%s: %v, version %q", name, err, p.Version)
	}
	if kind == "AWS::IAM::ManagedPolicy" {
		if got, want := p.allowed(), needed(t, "sqs", "s3"); !slices.Equal(got, want) {
			t.Errorf("%s allows %q, and the code needs %q", name, got, want)
		}
		return
	}
	tls := false
	for _, s := range p.Statement {
		if s.Effect == "Deny" {
			tls = tls || s.Condition["Bool"]["aws:SecureTransport"] == "false"
			continue
		}
		service, _ := s.Principal.(map[string]any)
		if service["Service"] == nil || s.Condition["StringEquals"]["aws:SourceArn"]+s.Condition["ArnEquals"]["aws:SourceArn"] == "" {
			t.Errorf("%s: statement %s is not for one service and one source (aws:SourceArn)", name, s.Sid)
		}
		if slices.ContainsFunc(s.Action, func(a string) bool { return strings.Contains(a, "*") }) {
			t.Errorf("%s: statement %s allows %q", name, s.Sid, s.Action)
		}
	}
	if !tls {
		t.Errorf("%s: access without TLS is not denied", name)
	}
}
