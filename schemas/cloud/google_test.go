package cloud

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// google is an entry for Google Cloud, with the names and the audit log entries that it
// writes: one JSON object per line.
func google() cloud {
	return cloud{
		provider: "gcp",
		reader:   func(Options) Reader { return &googleReader{} },
		reads:    func(start []byte) bool { return bytes.Contains(start, []byte("cloudaudit.googleapis.com")) },
		owns:     func(name string) bool { return strings.HasPrefix(name, "projects/") || strings.Contains(name, "@") },
		form: func(key string) kms.Form {
			if strings.Contains(key, "/cryptoKeys/") {
				return kms.FormKey
			}
			return kms.FormOther
		},
		place:    func(name string) (string, string) { return part(name, "projects/", 0), part(name, "projects/", 2) },
		short:    func(name string) string { return strings.TrimPrefix(name, "projects/") },
		familiar: func(name string) string { return name[strings.LastIndexByte(name, '/')+1:] },
		account:  func(string) string { return "" },
		actor: func(principal string) kms.Actor {
			switch {
			case strings.HasSuffix(principal, "@cloudkms.iam.gserviceaccount.com"):
				return kms.ActorService
			case strings.HasSuffix(principal, "gserviceaccount.com"):
				return kms.ActorWorkload
			}
			return kms.ActorPerson
		},
		othersKey:       func(string, int32) string { return "projects/-/cryptoKeys/others" },
		othersPrincipal: func(string, int32) string { return "others@-" },
		isOthers:        func(name string) bool { return name == "projects/-/cryptoKeys/others" || name == "others@-" },
		unusable:        func(code, message string) bool { return code == "9" && strings.Contains(message, "DISABLED") },
		aliasChange:     func(string) kms.AliasChange { return kms.AliasUsed },
		change:          func(string) kms.Change { return kms.ChangeNone },
		lesser:          func(string) bool { return false },
	}
}

// part returns the n-th part of a name behind prefix.
func part(name, prefix string, n int) string {
	rest, _ := strings.CutPrefix(name, prefix)
	if parts := strings.Split(rest, "/"); len(parts) > n {
		return parts[n]
	}
	return ""
}

// googleReader reads entries of Google Cloud's audit logs.
type googleReader struct {
	in    *json.Decoder
	from  decoding.Origin
	entry struct {
		InsertID     string
		Timestamp    time.Time
		ProtoPayload struct {
			ServiceName, MethodName, ResourceName string
			AuthenticationInfo                    struct{ PrincipalEmail string }
		}
	}
}

func (g *googleReader) Reset(src io.Reader, object string) {
	in := bufio.NewReader(src)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			panic(err)
		}
		in = bufio.NewReader(z)
	}
	g.in, g.from = json.NewDecoder(in), decoding.Origin{Object: object, Index: -1}
}

func (g *googleReader) Next() error {
	var raw json.RawMessage
	g.from.Offset = g.in.InputOffset()
	if err := g.in.Decode(&raw); err != nil {
		return err
	}
	g.from.Raw, g.from.Index = raw, g.from.Index+1
	if err := json.Unmarshal(raw, &g.entry); err != nil {
		return g.from.Bad(decoding.ReasonEnvelope, err.Error())
	}
	g.from.ID = g.entry.InsertID
	return nil
}

func (g *googleReader) NotEvents() int          { return 0 }
func (g *googleReader) Origin() decoding.Origin { return g.from }

func (g *googleReader) Call() (decoding.Call, error) {
	c := decoding.Call{ID: g.entry.InsertID, Time: g.entry.Timestamp.UnixNano()}
	if g.entry.ProtoPayload.ServiceName != "cloudkms.googleapis.com" {
		c.Filter = decoding.NotWanted
	}
	return c, nil
}

func (g *googleReader) Record(observed int64, rec *otellog.Record) (decoding.Filter, error) {
	rec.Reset()
	call, err := g.Call()
	if err != nil || call.Filter != decoding.Kept {
		return call.Filter, err
	}
	p := &g.entry.ProtoPayload
	rec.Time, rec.Observed, rec.CallID, rec.EventName = call.Time, observed, call.ID, "gcp.kms.api_call"
	rec.Where(semconv.CloudProvider, "gcp")
	rec.Where(semconv.CloudAccountID, part(p.ResourceName, "projects/", 0))
	rec.String(semconv.RPCMethod, p.ServiceName+"/"+p.MethodName)
	rec.String(semconv.KeytrailPrincipalID, p.AuthenticationInfo.PrincipalEmail)
	return decoding.Kept, nil
}

const googleEntry = `{"insertId":"1","logName":"projects/p/logs/cloudaudit.googleapis.com%2Fdata_access",` +
	`"timestamp":"2026-03-02T09:00:00Z","protoPayload":{"serviceName":"cloudkms.googleapis.com","methodName":"Decrypt",` +
	`"resourceName":"projects/p/locations/us/keyRings/r/cryptoKeys/k","authenticationInfo":{"principalEmail":"denethor@lotr.com"}}}` + "\n"

// TestReaderOfFurtherClouds adds an entry with its own decoder. The one Reader that
// callers have reads the objects of both clouds in turn, and none of the other's.
func TestReaderOfFurtherClouds(t *testing.T) {
	before := clouds
	defer func() { clouds = before }()
	clouds = append(clouds[:1:1], google())
	in := NewReader(Options{})
	f := func(object io.Reader, want string) {
		t.Helper()
		var got []string
		in.Reset(object, "o")
		for {
			var rec otellog.Record
			err := in.Next()
			if err == io.EOF {
				break
			}
			why := decoding.Kept
			if err == nil {
				why, err = in.Record(0, &rec)
			}
			if bad := (*decoding.BadRecord)(nil); errors.As(err, &bad) {
				got = append(got, string(bad.Reason))
			} else if err != nil {
				t.Fatal(err)
			} else if call, err := in.Call(); err != nil || why != call.Filter || why == decoding.Kept && rec.CallID != call.ID {
				t.Errorf("call %+v, %v; record %q, %v", call, err, rec.CallID, why)
			} else if from := in.Origin(); from.Object != "o" || from.Index != len(got) || len(from.Raw) == 0 {
				t.Errorf("record %d comes from %+v", len(got), from)
			} else if why != decoding.Kept {
				got = append(got, why.String())
			} else {
				got = append(got, rec.EventName)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
	const event = `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"e"}`
	other := strings.Replace(googleEntry, "cloudkms", "storage", 1)
	text := strings.NewReader
	f(text(event), "aws.kms.api_call")
	f(text(googleEntry+other+googleEntry), "gcp.kms.api_call not_wanted gcp.kms.api_call")
	f(text(strings.Repeat(event+"\n", 100)), strings.TrimSpace(strings.Repeat("aws.kms.api_call ", 100)))
	f(bytes.NewReader(corpus.Gzip([]byte(event+event))), "aws.kms.api_call aws.kms.api_call")
	f(bytes.NewReader(corpus.Gzip([]byte(googleEntry))), "gcp.kms.api_call")
	f(bytes.NewReader(corpus.Gzip([]byte(strings.Repeat(googleEntry, 5000)))), strings.TrimSpace(strings.Repeat("gcp.kms.api_call ", 5000)))
	f(io.MultiReader(text(googleEntry[:9]), text(googleEntry[9:]+`{"insertId":1}`)), "gcp.kms.api_call unknown_shape")
	f(text("{}"), "unknown_shape") // by the first cloud
	f(text(""), "")
	broken := errors.New("connection reset")
	in.Reset(io.MultiReader(text(event), failing{broken}), "o")
	if err := in.Next(); err != nil {
		t.Errorf("the event before a failure of the source: %v", err)
	}
	if err := in.Next(); !errors.Is(err, broken) {
		t.Errorf("a failure of the source is %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
