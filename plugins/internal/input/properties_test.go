package input

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keytrail/plugins/internal/property"
)

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
	for _, spec := range property.Specs(func(r *property.Reader) { _, _ = ParseConfig(r) }) {
		read[spec.Name] = true // what Fluent Bit 5.1.1 is told
	}
	if len(read) != len(listed) {
		t.Errorf("%d properties are read, and %d are listed", len(read), len(listed))
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
			if p.Name == "source" || !p.Of(from) || p.Name == "checkpoint" || p.Name == "ack_path" || p.Name == "dead_letter" || p.Name == "path" {
				continue // paths of a machine that this is not
			}
			values[p.Name] = p.Example
			if strings.HasPrefix(p.Name, "ack_") || p.Name == "unacknowledged" {
				values["ack_path"] = filepath.Join(t.TempDir(), "s")
			}
			if p.Name == "aws_external_id" {
				values["aws_role_arn"] = "arn:aws:iam::111122223333:role/keytrail"
			}
			if _, _, err := parse(values); err != nil {
				t.Errorf("the example of %q: %v", p.Name, err)
			}
		}
	}
}
