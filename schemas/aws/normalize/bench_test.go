package normalize

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// corpusRecords is how many records of the corpus the benchmarks hold in memory:
// 29 MB unless told otherwise. All of them are -corpus 200000.
var corpusRecords = flag.Int("corpus", 20_000, "how many records of the generated corpus to measure over")

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample is the part of the corpus that the benchmarks share, and the mean sizes
// of a record and of a file.
var sample = sync.OnceValue(func() (s struct {
	records      [][]byte
	texts        [][]byte
	record, file int64
}) {
	for n := range max(1, *corpusRecords/corpus.FileRecords) {
		_, text, records := corpus.File(n)
		s.records, s.texts = append(s.records, records...), append(s.texts, text)
		s.file += int64(len(text))
	}
	s.record, s.file = s.file/int64(len(s.records)), s.file/int64(len(s.texts))
	return s
})

// packed are sample's files as gzip.
var packed = sync.OnceValue(func() (list [][]byte) {
	for _, text := range sample().texts {
		list = append(list, corpus.Gzip(text))
	}
	return list
})

// path is the way of an event from its bytes to OTLP.
type path struct {
	dec *cloudtrail.Decoder
	in  *cloudtrail.Reader
	n   *Normalizer
	ev  cloudtrail.Event
	rec otellog.Record
	out []byte
}

func newPath() *path {
	return &path{dec: cloudtrail.NewDecoder(decoding.Limits{}), n: New(Options{Direct: true}),
		in: cloudtrail.NewReader(bytes.NewReader(nil), "", decoding.Limits{})}
}

// record takes one JSON record to the bytes of its ExportLogsServiceRequest, with
// the full set of attributes and the body.
func (p *path) record(t testing.TB, raw []byte) {
	if err := p.dec.Decode(raw, &p.ev); err != nil {
		t.Fatal(err)
	}
	p.encode(t)
}

// encode takes the event just decoded further.
func (p *path) encode(t testing.TB) {
	if ok, err := p.n.Record(&p.ev, observed, &p.rec); !ok || err != nil {
		t.Fatalf("not normalized (%v): %s", err, p.ev.Raw)
	}
	p.out = otellog.AppendRequest(p.out[:0], &p.rec)
}

// file takes a .json.gz file to OTLP, record by record, with a Reader that goes
// from file to file as in the program.
func (p *path) file(t testing.TB, packed []byte) {
	p.in.Reset(bytes.NewReader(packed), "corpus")
	n := 0
	for ; ; n++ {
		if err := p.in.Next(&p.ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.encode(t)
	}
	if n != corpus.FileRecords {
		t.Fatalf("%d records in a file of %d", n, corpus.FileRecords)
	}
}

// yardRecord is what the records are measured against: encoding/json into a
// struct of the same fields, and nothing after it.
func yardRecord(t testing.TB, raw []byte) {
	var y corpus.Yardstick
	if err := json.Unmarshal(raw, &y); err != nil {
		t.Fatal(err)
	}
	if y.EventID == "" {
		t.Fatalf("the struct does not fit the record: %s", raw)
	}
}

// yardFile is the same for a .json.gz file: all of it inflated, then read.
func yardFile(t testing.TB, packed []byte) {
	text := gunzip(t, packed)
	var y struct{ Records []corpus.Yardstick }
	if err := json.Unmarshal(text, &y); err != nil {
		t.Fatal(err)
	}
	if len(y.Records) != corpus.FileRecords || y.Records[0].EventID == "" {
		t.Fatalf("%d records in a file of %d", len(y.Records), corpus.FileRecords)
	}
}

func gunzip(t testing.TB, packed []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// BenchmarkRecord measures single records; an operation is one record, MB/s are
// of JSON. Each step holds those before it.
func BenchmarkRecord(b *testing.B) {
	p, s := newPath(), sample()
	run := func(name string, f func(raw []byte)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(s.record)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f(s.records[i%len(s.records)])
			}
		})
	}
	run("decode", func(raw []byte) {
		if err := p.dec.Decode(raw, &p.ev); err != nil {
			b.Fatal(err)
		}
	})
	run("decode+normalize", func(raw []byte) {
		if err := p.dec.Decode(raw, &p.ev); err != nil {
			b.Fatal(err)
		}
		if ok, err := p.n.Record(&p.ev, observed, &p.rec); !ok || err != nil {
			b.Fatal(ok, err)
		}
	})
	run("otlp", func(raw []byte) { p.record(b, raw) })
	run("yardstick", func(raw []byte) { yardRecord(b, raw) })
}

// BenchmarkFile measures .json.gz files; an operation is one file of
// corpus.FileRecords records, MB/s are of inflated JSON.
func BenchmarkFile(b *testing.B) {
	p, files := newPath(), packed()
	run := func(name string, f func(packed []byte)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(sample().file)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f(files[i%len(files)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*corpus.FileRecords), "ns/record")
		})
	}
	run("otlp", func(packed []byte) { p.file(b, packed) })
	run("yardstick", func(packed []byte) { yardFile(b, packed) })
	run("gunzip", func(packed []byte) { gunzip(b, packed) })
}

// BenchmarkRatio says how many times faster than their yardsticks records and
// files become OTLP. The two take turns, file by file, so that what else the
// machine does hits both alike.
func BenchmarkRatio(b *testing.B) {
	p, records, files := newPath(), sample().records, packed()
	run := func(name string, ours, yardstick func(file int)) {
		b.Run(name, func(b *testing.B) {
			var our, their time.Duration
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				yardstick(i % len(files))
				middle := time.Now()
				ours(i % len(files))
				their, our = their+middle.Sub(start), our+time.Since(middle)
			}
			b.ReportMetric(float64(their)/float64(our), "times")
		})
	}
	each := func(file int, f func(raw []byte)) {
		for _, raw := range records[file*corpus.FileRecords:][:corpus.FileRecords] {
			f(raw)
		}
	}
	run("record", func(file int) { each(file, func(raw []byte) { p.record(b, raw) }) },
		func(file int) { each(file, func(raw []byte) { yardRecord(b, raw) }) })
	run("file", func(file int) { p.file(b, files[file]) }, func(file int) { yardFile(b, files[file]) })
}

// TestSameFieldsAsTheYardstick: over the whole corpus both read the same, so that
// their times are of the same work.
func TestSameFieldsAsTheYardstick(t *testing.T) {
	files := corpus.Files
	if testing.Short() {
		files = 20
	}
	dec, ev := cloudtrail.NewDecoder(decoding.Limits{}), cloudtrail.Event{}
	for n := range files {
		_, _, records := corpus.File(n)
		for _, raw := range records {
			var y corpus.Yardstick
			if err := json.Unmarshal(raw, &y); err != nil {
				t.Fatal(err)
			}
			if err := dec.Decode(raw, &ev); err != nil {
				t.Fatal(err)
			}
			if field, got, want := difference(&ev, &y); field != "" {
				t.Fatalf("%s is %q, encoding/json reads %q: %s", field, got, want, raw)
			}
		}
	}
}

// difference returns the first field that the two read differently.
func difference(ev *cloudtrail.Event, y *corpus.Yardstick) (field, got, want string) {
	id, u, s := &ev.Identity, &y.UserIdentity, &y.UserIdentity.SessionContext
	flag := func(b bool) string { return map[bool]string{true: "true", false: "false"}[b] }
	isTrue := func(b cloudtrail.Bool) string { return flag(b == cloudtrail.True) }
	for _, f := range [...][3]string{
		{"eventVersion", ev.Version, y.EventVersion}, {"eventTime", ev.Time, y.EventTime}, {"eventSource", ev.Source, y.EventSource},
		{"eventName", ev.Name, y.EventName}, {"awsRegion", ev.Region, y.Region}, {"sourceIPAddress", ev.SourceIP, y.SourceIP},
		{"userAgent", ev.UserAgent, y.UserAgent}, {"errorCode", ev.ErrorCode, y.ErrorCode}, {"errorMessage", ev.ErrorMessage, y.ErrorMessage},
		{"requestID", ev.RequestID, y.RequestID}, {"eventID", ev.ID, y.EventID}, {"sharedEventID", ev.SharedID, y.SharedEventID},
		{"eventType", ev.Type, y.EventType}, {"eventCategory", ev.Category, y.EventCategory}, {"recipientAccountId", ev.RecipientAccount, y.RecipientAccountID},
		{"vpcEndpointId", ev.VPCEndpoint, y.VPCEndpointID}, {"readOnly", isTrue(ev.ReadOnly), flag(y.ReadOnly)}, {"managementEvent", isTrue(ev.Management), flag(y.ManagementEvent)},
		{"type", id.Type, u.Type}, {"principalId", id.PrincipalID, u.PrincipalID}, {"arn", id.ARN, u.ARN}, {"accountId", id.Account, u.AccountID},
		{"accessKeyId", id.AccessKeyID, u.AccessKeyID}, {"userName", id.UserName, u.UserName}, {"invokedBy", id.InvokedBy, u.InvokedBy},
		{"sessionIssuer.type", id.IssuerType, s.SessionIssuer.Type}, {"sessionIssuer.principalId", id.IssuerPrincipal, s.SessionIssuer.PrincipalID},
		{"sessionIssuer.arn", id.IssuerARN, s.SessionIssuer.ARN}, {"sessionIssuer.accountId", id.IssuerAccount, s.SessionIssuer.AccountID},
		{"sessionIssuer.userName", id.IssuerName, s.SessionIssuer.UserName}, {"creationDate", id.SessionCreated, s.Attributes.CreationDate},
		{"mfaAuthenticated", isTrue(id.MFA), flag(s.Attributes.MFAAuthenticated == "true")},
		{"keyId", ev.Request.KeyID, y.RequestParameters.KeyID}, {"encryptionAlgorithm", ev.Request.Algorithm, y.RequestParameters.EncryptionAlgorithm},
		{"keyMaterialId", ev.Extra.KeyMaterialID, y.AdditionalEventData.KeyMaterialID}, {"tlsVersion", ev.TLS.Version, y.TLSDetails.TLSVersion},
		{"cipherSuite", ev.TLS.Cipher, y.TLSDetails.CipherSuite}, {"clientProvidedHostHeader", ev.TLS.Host, y.TLSDetails.ClientProvidedHostHeader},
	} {
		if f[1] != f[2] && (f[0] != "encryptionAlgorithm" || ev.Name != "Sign") { // Event.Algorithm holds signing algorithms too
			return f[0], f[1], f[2]
		}
	}
	if len(ev.Resources) != len(y.Resources) {
		return "resources", "", ""
	}
	for i, r := range y.Resources {
		if ev.Resources[i] != (cloudtrail.Target{ARN: r.ARN, Account: r.AccountID, Type: r.Type}) {
			return "resources", ev.Resources[i].ARN, r.ARN
		}
	}
	for _, kv := range ev.Context {
		if want, ok := y.RequestParameters.EncryptionContext[kv.Key]; ok && want != kv.Value {
			return "encryptionContext", kv.Value, want
		}
	}
	if n := len(y.RequestParameters.EncryptionContext); n > 0 && n != len(ev.Context) {
		return "encryptionContext", "of another size", ""
	}
	return "", "", ""
}

// TestWhatIsMeasuredIsOTLP: the bytes that the benchmarks make are log records
// with the body and all the attributes.
func TestWhatIsMeasuredIsOTLP(t *testing.T) {
	p, n, plain := newPath(), New(Options{}), otellog.Record{}
	for raw := range corpus.Records(2000) {
		p.record(t, raw)
		if _, err := n.Record(&p.ev, observed, &plain); err != nil {
			t.Fatal(err)
		}
		var got logspb.LogsData
		if err := proto.Unmarshal(p.out, &got); err != nil {
			t.Fatal(err)
		}
		rl := got.ResourceLogs[0]
		rec := rl.ScopeLogs[0].LogRecords[0]
		if rec.Body.GetStringValue() != string(raw) || len(rl.Resource.Attributes) != 3 || len(rec.Attributes) != len(plain.Attrs) || len(rec.Attributes) < 20 {
			t.Fatalf("%d attributes, of the resource %d, body %s", len(rec.Attributes), len(rl.Resource.Attributes), rec.Body)
		}
		for i, a := range rec.Attributes {
			if want := &plain.Attrs[i]; a.Key != want.Key || a.Value.GetStringValue() != want.Str {
				t.Fatalf("attribute %d is %v, want %s %q", i, a, want.Key, want.Str)
			}
		}
	}
}

// TestNoAllocations: once its memory has grown, the way to OTLP asks for no more.
// Policies are the exception: one in a thousand records has one, and encoding/json reads
// those that are not plain (see keypolicy.TestPlainPoliciesCostNothing).
func TestNoAllocations(t *testing.T) {
	p := newPath()
	var records [][]byte
	for raw := range corpus.Records(5000) {
		if p.record(t, raw); p.ev.Request.Policy == "" {
			records = append(records, raw)
		}
	}
	if len(records) < 4900 {
		t.Fatalf("only %d records", len(records))
	}
	pass := func() {
		for _, raw := range records {
			p.record(t, raw)
		}
	}
	for range 5 {
		pass()
	}
	if n := testing.AllocsPerRun(2, pass); n > 0 {
		t.Errorf("%v allocations in %d records", n, len(records))
	}
}
