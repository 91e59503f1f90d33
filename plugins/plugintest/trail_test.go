package plugintest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// events reads the testdata: one event a line, each with its own id.
func events(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(list) != 12 {
		t.Fatalf("the testdata holds %d events, the shapes need 12", len(list))
	}
	return list
}

// shapes puts the events into the envelopes that CloudTrail, AWS's services and
// shippers use, one file an envelope.
func shapes(t *testing.T, ev []string) map[string]string {
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	eventBridge := `{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.kms","detail":` + ev[5] + `}`
	sns := `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-central-1:444455556666:t","Message":` + quote(eventBridge) + `}`
	return map[string]string{
		"AWSLogs/444455556666/CloudTrail/eu-central-1/2026/03/01/a.json.gz": zip(`{"Records":[` + ev[0] + "," + ev[1] + `]}`),
		"array.json":       "[" + ev[2] + ",\n" + ev[3] + "]",
		"one.json":         ev[4],
		"sns.json":         sns,
		"lines.ndjson":     ev[6] + "\n" + ev[7] + "\n",
		"subscription":     zip(`{"messageType":"DATA_MESSAGE","owner":"444455556666","logEvents":[{"id":"1","timestamp":1,"message":` + quote(ev[8]) + `}]}`),
		"lookup.json":      `{"Events":[{"EventId":"x","EventName":"PutKeyPolicy","CloudTrailEvent":` + quote(ev[9]) + `}],"NextToken":"n"}`,
		"fluent-bit.json":  `{"date":1.5,"log":` + quote(ev[10]) + `}`,
		"two-members.gz":   zip(ev[11]+"\n") + zip(other(ev[0])+"\n"), // gzip files joined; the second event is filtered
		".hidden.json":     other(ev[0]),
		"digest.json":      `{"awsAccountId":"444455556666","digestStartTime":"2026-03-01T00:00:00Z","digestS3Bucket":"b","logFiles":[]}`,
		"CloudTrail/.keep": "",
	}
}

// other is an event of a service that Keytrail is not about.
func other(event string) string {
	return strings.Replace(event, "kms.amazonaws.com", "ec2.amazonaws.com", 1)
}

func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// trail writes files into a new directory.
func trail(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// idOf returns an event's id.
func idOf(t *testing.T, event string) string {
	t.Helper()
	var e struct {
		EventID string `json:"eventID"`
	}
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatalf("%v in %s", err, event)
	}
	return e.EventID
}

// callOf returns the id of the call that an event is about.
func callOf(t *testing.T, event string) string {
	t.Helper()
	var e struct {
		SharedEventID string `json:"sharedEventID"`
	}
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatalf("%v in %s", err, event)
	}
	if e.SharedEventID != "" {
		return e.SharedEventID
	}
	return idOf(t, event)
}

// numbered returns n events with different ids, made from one.
func numbered(t *testing.T, event string, from, n int) []string {
	t.Helper()
	id := idOf(t, event)
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Replace(event, id, fmt.Sprintf("%08x-0000-4000-8000-000000000000", from+i), 1)
	}
	return list
}

// short shows bytes in a message.
func short(b []byte) string {
	if len(b) > 60 {
		b = b[:60]
	}
	return base64.StdEncoding.EncodeToString(b)
}
