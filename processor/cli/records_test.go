package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/generate"
	"keytrail/schemas/jsonschema"
)

// record is a log record as OpenTelemetry's own Go types hold it.
type record struct {
	*logspb.LogRecord
	attrs map[string]*commonpb.AnyValue
}

func newRecord(r *logspb.LogRecord) record {
	rec := record{r, map[string]*commonpb.AnyValue{}}
	for _, a := range r.GetAttributes() {
		rec.attrs[a.GetKey()] = a.GetValue()
	}
	return rec
}

func (r record) str(name string) string { return r.attrs[name].GetStringValue() }
func (r record) int(name string) int64  { return r.attrs[name].GetIntValue() }

// schemas validates with an independent validator against the registry's JSON
// Schemas. They are compiled once for all tests.
var schemas = sync.OnceValues(func() (map[string]*validator.Schema, error) {
	all := map[string]*validator.Schema{}
	for _, name := range jsonschema.EventNames() {
		text, err := jsonschema.Schema(name)
		if err != nil {
			return nil, err
		}
		doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		c := validator.NewCompiler()
		if err := c.AddResource("urn:"+name, doc); err != nil {
			return nil, err
		}
		if all[name], err = c.Compile("urn:" + name); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// parse decodes one line of OTLP/JSON with OpenTelemetry's types.
func parse(t *testing.T, line string) (*logspb.LogsData, record) {
	t.Helper()
	data := &logspb.LogsData{}
	if err := protojson.Unmarshal([]byte(line), data); err != nil {
		t.Fatalf("no LogsData: %v\n%.500s", err, line)
	}
	if len(data.ResourceLogs) != 1 || len(data.ResourceLogs[0].ScopeLogs) != 1 || len(data.ResourceLogs[0].ScopeLogs[0].LogRecords) != 1 {
		t.Fatalf("not one log record in a line:\n%.500s", line)
	}
	return data, newRecord(data.ResourceLogs[0].ScopeLogs[0].LogRecords[0])
}

// validated parses a line and validates it against the schema of its event,
// which takes a hundred times as long.
func validated(t *testing.T, line string) (*logspb.LogsData, record) {
	t.Helper()
	data, rec := parse(t, line)
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	schema := all[rec.EventName]
	if schema == nil {
		t.Fatalf("event %q has no schema", rec.EventName)
	}
	doc, err := validator.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("against the schema of %s: %v\n%.500s", rec.EventName, err, line)
	}
	return data, rec
}

// each decodes lines of OTLP/JSON, by parse or validated.
func each(t *testing.T, text string, decode func(*testing.T, string) (*logspb.LogsData, record)) []record {
	t.Helper()
	var all []record
	for _, line := range lines(text) {
		_, rec := decode(t, line)
		all = append(all, rec)
	}
	return all
}

// withoutEnds returns the lines that are not the ends of anomalies.
func withoutEnds(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, `"keytrail.anomaly.state","value":{"stringValue":"ended"`)
	})
}

// attributes of windows that the tests name.
const (
	windowEvent  = "keytrail.window"
	anomalyEvent = "keytrail.anomaly"
	windowCalls  = "keytrail.window.calls.total"
	callsPrefix  = "keytrail.window.calls."
)

// windowText returns a window's name and its counts, in the form of oracleRows.
func windowText(r record) (name, text string) {
	name = fmt.Sprintf("%s %q %q %s", r.str("keytrail.window.scope"), r.str("aws.kms.key.arn"), r.str("keytrail.principal.id"), r.str("keytrail.window.start"))
	var classes []string
	for key := range r.attrs {
		if class, ok := strings.CutPrefix(key, callsPrefix); ok && operationClasses[class] {
			classes = append(classes, fmt.Sprintf("%s=%d", class, r.int(key)))
		}
	}
	slices.Sort(classes)
	return name, fmt.Sprintf("calls=%d denied=%d failed=%d %s", r.int(windowCalls), r.int("keytrail.window.denied"), r.int("keytrail.window.failed"), strings.Join(classes, " "))
}

// madeTrail generates a trail and writes its files below dir/AWSLogs.
func madeTrail(t *testing.T, c generate.Config) (g *generate.Generator, files string) {
	t.Helper()
	g, err := generate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	return g, filepath.Join(dir, "AWSLogs")
}

// recordsIn returns the records of gzipped CloudTrail files, byte for byte and
// in the order of the files' names.
func recordsIn(t *testing.T, dir string) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		zip, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		var file struct{ Records []json.RawMessage }
		if err := json.NewDecoder(zip).Decode(&file); err != nil {
			return err
		}
		all = append(all, file.Records...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// event returns a CloudTrail record of a Decrypt call.
func event(id, user string, at time.Time) string {
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/%s","accountId":"111122223333"},`+
		`"eventTime":%q,"eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1","eventID":%q,`+
		`"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/%s"}],`+
		`"recipientAccountId":"111122223333"}`, user, at.UTC().Format(time.RFC3339), id, user)
}
