package input

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	"keytrail/plugins/internal/property"
)

var update = flag.Bool("update", false, "write the table of properties anew")

// propertyTable is generated from Properties and what ParseConfig takes for unset
// ones.
const propertyTable = "../../in_kms/properties.md"

// required are properties without which a source does not start.
func required(from string) map[string]string {
	return map[string]string{"source": from, "path": "/", "s3_bucket": "acme-trail",
		"sqs_queue_url": "https://sqs.eu-central-1.amazonaws.com/1/trail", "checkpoint": "/tmp/cp", "dead_letter": "/tmp/dead"}
}

// minimal are those that a source needs.
func minimal(from string) map[string]string {
	values := required(from)
	for _, p := range Properties() {
		if !p.Of(from) {
			delete(values, p.Name)
		}
	}
	return values
}

func TestPropertiesAreThoseThatAreRead(t *testing.T) {
	listed := map[string]bool{}
	for _, p := range Properties() {
		if listed[p.Name] || p.What == "" || p.Example == "" || property.Reserved(p.Name) {
			t.Errorf("%q is listed twice, has no text or example, or is Fluent Bit's own", p.Name)
		}
		listed[p.Name] = true
	}
	read := map[string]bool{}
	for _, from := range []string{SourceFile, SourceS3, SourceSQS, SourceLookup} {
		_, r, err := parse(minimal(from))
		if err != nil {
			t.Errorf("source %s: %v", from, err)
		}
		for _, p := range Properties() {
			if p.Of(from) != slices.Contains(r.Names(), p.Name) {
				t.Errorf("property %q: the list says %v that source %s has it, and ParseConfig does not agree", p.Name, p.Of(from), from)
			}
		}
		for _, name := range r.Names() {
			read[name] = true
		}
	}
	for name := range read {
		if !listed[name] {
			t.Errorf("property %q is read and not listed", name)
		}
	}
}

func TestPropertyExamplesAreTaken(t *testing.T) {
	for _, p := range Properties() {
		for _, from := range []string{SourceFile, SourceS3, SourceSQS, SourceLookup} {
			values := minimal(from)
			if p.Name == "source" || !p.Of(from) || p.Name == "checkpoint" || p.Name == "dead_letter" || p.Name == "path" {
				continue // paths of a machine that this is not
			}
			values[p.Name] = p.Example
			if p.Name == "aws_external_id" {
				values["aws_role_arn"] = "arn:aws:iam::111122223333:role/keytrail"
			}
			if _, _, err := parse(values); err != nil {
				t.Errorf("the example of %q: %v", p.Name, err)
			}
		}
	}
}

func TestPropertyTable(t *testing.T) {
	want := table(t)
	if *update {
		if err := os.WriteFile(propertyTable, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(propertyTable)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says (%v); go test ./plugins/internal/input -update writes it", propertyTable, err)
	}
}

// table is what property.Table makes of what ParseConfig asks for, with the source and
// an example of each.
func table(t *testing.T) []byte {
	t.Helper()
	specs := property.Specs(func(r *property.Reader) { _, _ = ParseConfig(r) })
	if len(specs) != len(Properties()) {
		t.Errorf("ParseConfig asks for %d properties, and %d are described", len(specs), len(Properties()))
	}
	return []byte(property.Table(specs, About))
}
