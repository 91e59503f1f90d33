package normalize

import (
	"encoding/json"
	"os"
	"testing"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/internal/schematest"
	"keytrail/schemas/otellog"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// benchEvents are a hundred Decrypt events, which are most of what CloudTrail
// writes about KMS, and how many bytes they have.
func benchEvents() (events [][]byte, size int64) {
	for i := range 100 {
		e := []byte(schematest.Decrypt(i))
		events, size = append(events, e), size+int64(len(e))
	}
	return events, size / int64(len(events))
}

// BenchmarkEvent measures the way of one event from its bytes to the log
// record's protobuf bytes. MB/s are of event bytes.
func BenchmarkEvent(b *testing.B) {
	events, size := benchEvents()
	dec, n := cloudtrail.NewDecoder(cloudtrail.Limits{}), New(Options{})
	var ev cloudtrail.Event
	var rec otellog.Record
	decode := func(b *testing.B, i int) {
		if err := dec.Decode(events[i%len(events)], &ev); err != nil {
			b.Fatal(err)
		}
	}
	normalize := func(b *testing.B) {
		if _, err := n.Record(&ev, observed, &rec); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			decode(b, i)
		}
	})
	b.Run("decode+normalize", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			decode(b, i)
			normalize(b)
		}
	})
	b.Run("decode+normalize+encode", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		var out []byte
		for i := 0; b.Loop(); i++ {
			decode(b, i)
			normalize(b)
			out = otellog.AppendRequest(out[:0], &rec)
		}
	})
}

// yardstick is what a decoder of the same fields looks like with encoding/json.
type yardstick struct {
	EventVersion, EventTime, EventSource, EventName, AwsRegion, SourceIPAddress, UserAgent, ErrorCode, ErrorMessage string
	RequestID, EventID, SharedEventID, EventType, EventCategory, RecipientAccountID                                 string
	ReadOnly, ManagementEvent                                                                                       bool
	UserIdentity                                                                                                    struct {
		Type, PrincipalID, ARN, AccountID, AccessKeyID, UserName, InvokedBy string
		SessionContext                                                      struct {
			SessionIssuer struct{ Type, PrincipalID, ARN, AccountID, UserName string }
			Attributes    struct{ CreationDate, MfaAuthenticated string }
		}
	}
	RequestParameters struct {
		KeyID, EncryptionAlgorithm string
		EncryptionContext          map[string]string
	}
	AdditionalEventData struct{ KeyMaterialID string }
	Resources           []struct{ ARN, AccountID, Type string }
	TLSDetails          struct{ TLSVersion, CipherSuite, ClientProvidedHostHeader string }
}

// BenchmarkYardstick decodes the same events with encoding/json into a struct,
// and does nothing more.
func BenchmarkYardstick(b *testing.B) {
	events, size := benchEvents()
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var y yardstick
		if err := json.Unmarshal(events[i%len(events)], &y); err != nil {
			b.Fatal(err)
		}
		if y.UserIdentity.SessionContext.SessionIssuer.ARN == "" || len(y.Resources) != 1 || y.TLSDetails.TLSVersion == "" {
			b.Fatal("the struct does not fit the event")
		}
	}
}
