package lookup

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
)

const kms, trail, other = "kms.amazonaws.com", "cloudtrail.amazonaws.com", "s3.amazonaws.com"

// newHistory starts an event history, and returns it with a configuration for its clients.
func newHistory(t *testing.T) (*awstest.History, aws.Config) {
	t.Helper()
	h := awstest.StartHistory(t)
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	return h, cfg
}

func addEvent(h *awstest.History, region, service, id string, at time.Time) {
	h.Add(region, service, at, fmt.Sprintf(`{"eventVersion":"1.11","eventTime":%q,"eventSource":%q,"eventName":"Decrypt","awsRegion":%q,"eventID":%q}`,
		at.Format(time.RFC3339), service, region, id))
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// ids reads an object with the decoder and counts the events by id.
func ids(t *testing.T, o source.Object, got map[string]int) error {
	t.Helper()
	body, err := o.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	r := cloudtrail.NewReader(body, o.Name, decoding.Limits{})
	var ev cloudtrail.Event
	for {
		if err := r.Next(&ev); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		got[strings.Clone(ev.ID)]++
	}
}

// TestRowC1EventHistory: LookupEvents is asked page by page, by attributes, within its pace of two requests a second.
func TestRowC1EventHistory(t *testing.T) {
	h, cfg := newHistory(t)
	for i := range 120 {
		addEvent(h, awstest.Region, kms, fmt.Sprint("k", i), noon.Add(time.Duration(i)*time.Second))
	}
	addEvent(h, awstest.Region, trail, "t", noon)
	addEvent(h, awstest.Region, other, "o", noon)
	addEvent(h, "us-east-1", kms, "elsewhere", noon)
	c := NewClient(cfg)
	got, began := map[string]int{}, time.Now()
	q := Query{Region: awstest.Region, Attributes: own, From: noon, To: noon.Add(119 * time.Second)}
	err := ids(t, source.Object{Open: func() (io.ReadCloser, error) { return c.Open(t.Context(), q), nil }}, got)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 120 || got["k0"] != 1 || got["k118"] != 1 || got["t"] != 1 { // not k119: the end is not included
		t.Errorf("%d events: %v", len(got), got)
	}
	if len(h.Pages()) != 4 { // each once, except those whose answer was lost
		t.Errorf("asked for were %v; 3 pages and 1 are 4", h.Pages())
	}
	if next := c.next[awstest.Region].Sub(began); next < 4*pace {
		t.Errorf("a fifth request may be made %v after the first, want %v", next, 4*pace)
	}
}

func TestParseAttribute(t *testing.T) {
	if a, err := ParseAttribute("Username=a=b"); err != nil || a != (Attribute{"Username", "a=b"}) {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, text := range []string{"", "Username", "Username=", "username=x", "=x"} {
		if _, err := ParseAttribute(text); err == nil || !strings.Contains(err.Error(), "EventName") {
			t.Errorf("%q was taken, or its refusal does not say what is allowed: %v", text, err)
		}
	}
}

// run polls and reads until nothing more is offered.
func run(t *testing.T, s *Source, got map[string]int) {
	t.Helper()
	for {
		list, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return
		}
		for _, o := range list {
			if err := ids(t, o, got); err != nil {
				t.Fatal(err)
			}
			s.Done(o)
		}
	}
}

func TestSourceWalks(t *testing.T) {
	h, cfg := newHistory(t)
	now := noon
	path := filepath.Join(t.TempDir(), "cp")
	open := func() *Source {
		t.Helper()
		s, err := New(cfg, Config{Start: noon.Add(-30 * time.Minute), Delay: DefaultDelay, All: true, Checkpoint: path, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	addEvent(h, awstest.Region, kms, "before", noon.Add(-31*time.Minute))
	addEvent(h, awstest.Region, kms, "first", noon.Add(-30*time.Minute))
	addEvent(h, awstest.Region, other, "last", noon.Add(-15*time.Minute-time.Second))
	addEvent(h, awstest.Region, kms, "young", noon.Add(-15*time.Minute))
	s := open()
	got := map[string]int{}
	run(t, s, got)
	want := func(list ...string) {
		t.Helper()
		if len(got) != len(list) {
			t.Errorf("got %v, want %v", got, list)
		}
		for _, id := range list {
			if got[id] != 1 {
				t.Errorf("%q came %d times in %v", id, got[id], got)
			}
		}
	}
	want("first", "last")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	addEvent(h, awstest.Region, kms, "late", noon.Add(-20*time.Minute)) // behind the first look
	now = now.Add(20 * time.Minute)
	s, got = open(), map[string]int{}
	run(t, s, got)
	want("young")
	now = now.Add(time.Hour)
	got = map[string]int{}
	run(t, s, got) // the second look repeats events and finds the late one
	want("first", "last", "young", "late")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = map[string]int{}
	run(t, open(), got)
	want()
}

func TestSourceGivesNothingUp(t *testing.T) {
	h, cfg := newHistory(t)
	now := noon
	s, err := New(cfg, Config{Start: noon.Add(-20 * time.Minute), Delay: DefaultDelay, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	addEvent(h, awstest.Region, kms, "a", noon.Add(-18*time.Minute))
	h.Fail(true)
	list, err := s.Poll(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	for range 30 {
		if !s.Retry(list[0], io.ErrUnexpectedEOF) {
			t.Fatal("a stretch of time was given up")
		}
		now = now.Add(20 * time.Minute)
		again, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, o := range again {
			if found = found || o.Name == list[0].Name; o.Name != list[0].Name {
				s.Done(o)
			}
		}
		if !found {
			t.Fatalf("it was not offered again: %v", again)
		}
	}
	if err := ids(t, list[0], map[string]int{}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("reading says %v", err)
	}
	h.Fail(false)
	got := map[string]int{}
	if err := ids(t, list[0], got); err != nil || got["a"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	s.Done(list[0])
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(`{"version":2,"kind":"lookup","regions":{"eu-central-1":{"done":"2026-11-20T12:00:00Z","again":"2026-11-20T11:00:00Z"}}}`)
	f.Add(`{"version":3}`)
	f.Fuzz(func(t *testing.T, content string) {
		c, err := parseState([]byte(content), noon)
		if err == nil && (c.Version != source.CheckpointVersion || c.Kind != "lookup") {
			t.Errorf("took %+v", c)
		}
	})
}
