package normalize

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topic is a row of docs/coverage.md: something that real trails contain. open
// says what is not there yet, and what there is instead; "" when nothing is
// missing.
type topic struct{ id, about, open string }

// topics are the rows in the order of the page. Each has tests named
// TestRow<id><Words>, or says what is missing.
var topics = []topic{
	{"A1", "Versions of the record", ""},
	{"A2", "Cryptographic operations", ""},
	{"A3", "Management operations", ""},
	{"A4", "Reads", ""},
	{"A5", "Operations of KMS itself", ""},
	{"A6", "Fields that CloudTrail leaves out", ""},
	{"A7", "Failed calls", ""},
	{"A8", "The key in the response", ""},
	{"A9", "Null resources", ""},
	{"A10", "Several resources", ""},
	{"A11", "Resources without a type", ""},
	{"A12", "Forms of a key's name", ""},
	{"A13", "Kinds of identity", ""},
	{"A14", "Services instead of addresses", ""},
	{"A15", "A misleading eventType", ""},
	{"A16", "Malformed input", ""},
	{"A17", "Grants", ""},
	{"B1", "A call that two accounts record", ""},
	{"B2", "A refused call on another account's key", ""},
	{"B3", "Encryption contexts", ""},
	{"B4", "Objects in Amazon S3", "to tell a bucket that was given a Bucket Key, which cuts calls to a hundredth and less, from an incident. The context's object is the bucket then, and baselines follow a lasting change within days."},
	{"B5", "The encryption of a trail", ""},
	{"B6", "The collector's own reads", ""},
	{"B7", "Amazon Chime voice connectors", ""},
	{"B8", "The key of a trail", "an estimate of what the key's use costs. Windows count what reads (decrypt on cloudtrail_file) apart from what delivers (generate)."},
	{"B9", "Callers", ""},
	{"C1", "LookupEvents", ""},
	{"C2", "Files of a trail", ""},
	{"C3", "KMS events excluded from a trail", "a watch for the silence after it."},
	{"C4", "Silence of an account, Region or key", "silences of an account or a Region as a whole. Those of a KMS key are found, and rules find what blinds a trail."},
	{"C5", "Past use of a key", ""},
	{"C6", "Permissions on a key", "the join of policies and grants with use. Log records show opened policies, and grants in full."},
	{"C7", "The deletion of a key", ""},
	{"C8", "Imported key material", ""},
	{"C9", "EventBridge", "to join KMS's own events with CloudTrail's records of the same rotation or deletion: an installation that receives both counts it twice."},
	{"C10", "Metrics of keys and external key stores", "all of it: CloudWatch metrics are not events of CloudTrail."},
	{"C11", "Rotation", ""},
	{"C12", "Multi-Region keys", ""},
	{"D1", "Addenda", ""},
	{"D2", "Limits of size", ""},
	{"D3", "Records of CloudTrail Insights", "its own log record for an Insight about KMS."},
	{"D4", "Digest files", ""},
	{"D5", "Attested requests", ""},
	{"D6", "Ids of key material", ""},
	{"D7", "Partitions", ""},
	{"D8", "Records out of the order of time", ""},
	{"D9", "Forms of eventTime", ""},
	{"D10", "Delivery some minutes late", ""},
	{"D11", "Network activity events", ""},
	{"D12", "Aggregated events", ""},
	{"D13", "Exports and the output of tools", ""},
	{"S1", "sharedEventID without a second account", ""},
	{"S2", "Lists without resources", ""},
	{"S3", "keySpec beside customerMasterKeySpec", ""},
	{"S4", "Empty parts of a session", ""},
	{"S5", "Dates in the words of a locale", "their time as a number: they have no zone."},
	{"S6", "A bare id in the response", ""},
	{"S7", "JSON inside a string", ""},
	{"S8", "Booleans as strings", ""},
	{"S9", "Odd accounts and Regions", ""},
	{"S10", "The form of Panther's exports", ""},
	{"S11", "arn for ARN", ""},
	{"S12", "Null and spoiled user agents", ""},
	{"S13", "Repeated event ids", ""},
	{"S14", "Versions side by side in a file", ""},
}

const coverageHead = `# Coverage of known CloudTrail behavior

This table lists the known properties of real AWS KMS trails and the tests that cover
them. Rows A are forms of events, B their meaning, C the findings in them, D facts about
trails, and S forms that differ from AWS's documents. "Held" means that the test exists
and passes with the others; "not yet" names the gap and the present alternative.

This page is written by ` + "`go test ./schemas/aws/normalize -run Coverage -update`" + ` from the
tests and their comments.

| row | property | test | state |
|---|---|---|---|
`

// rowTest is one test of a row.
type rowTest struct{ id, name, holds, pkg string }

var (
	ofRow   = regexp.MustCompile(`^TestRow[A-Z]+[0-9]`)
	rowName = regexp.MustCompile(`^TestRow([A-Z]+[0-9]+)[A-Z]`)
)

// rowTests finds the tests of rows below the module's root, by package and place.
func rowTests(t *testing.T, root string) (list []rowTest) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{".git", "build", "testdata"}, entry.Name()) {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !ofRow.MatchString(f.Name.Name) {
				continue
			}
			m := rowName.FindStringSubmatch(f.Name.Name)
			holds, named := strings.CutPrefix(strings.TrimSpace(f.Doc.Text()), f.Name.Name+": ")
			if m == nil || !named || holds == "" || strings.ContainsAny(holds, "\n|") {
				t.Errorf("%s: %s wants a name like TestRowA1Versions and a comment of one line, %q", path, f.Name.Name, "// TestRowA1Versions: what it holds.")
				continue
			}
			list = append(list, rowTest{m[1], f.Name.Name, holds, filepath.ToSlash(dir)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCoverage holds docs/coverage.md to the tests: no row without a test or a
// word on what is missing, no test of an unknown row.
func TestCoverage(t *testing.T) {
	const root, page = "../../..", "../../../docs/coverage.md"
	tests := rowTests(t, root)
	var b strings.Builder
	b.WriteString(coverageHead)
	for _, p := range topics {
		lines := 0
		line := func(what, test, state string) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.id, what, test, state)
			lines++
		}
		for _, test := range tests {
			if test.id == p.id {
				line(fmt.Sprintf("%s: %s", p.about, test.holds), fmt.Sprintf("`%s` %s", test.pkg, test.name), "held")
			}
		}
		if p.open != "" {
			line(p.about, "-", "not yet: "+p.open)
		}
		if lines == 0 {
			t.Errorf("row %s, %s: no test is named TestRow%s..., and topics does not say what is missing", p.id, p.about, p.id)
		}
	}
	for _, test := range tests {
		if !slices.ContainsFunc(topics, func(p topic) bool { return p.id == test.id }) {
			t.Errorf("%s: there is no row %s in topics", test.name, test.id)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != b.String() {
		t.Errorf("docs/coverage.md is stale (%v): go test ./schemas/aws/normalize -run Coverage -update", err)
	}
}
