package main

import (
	"bytes"
	"fmt"
	"io"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// observed is the records' observed time: 2026-03-02T10:00:00Z.
const observed = 1772445600000000000

// keytrail is Keytrail's path from CloudTrail to OTLP, with all attributes and the body,
// and one ExportLogsServiceRequest per record.
type keytrail struct {
	dec *cloudtrail.Decoder
	in  *cloudtrail.Reader
	n   *normalize.Normalizer
	ev  cloudtrail.Event
	rec otellog.Record
	out []byte

	whole *normalize.Normalizer // makes readable records, for pdata
}

func newKeytrail() *keytrail {
	return &keytrail{dec: cloudtrail.NewDecoder(decoding.Limits{}), n: normalize.New(normalize.Options{Direct: true}),
		whole: normalize.New(normalize.Options{}),
		in:    cloudtrail.NewReader(bytes.NewReader(nil), "", decoding.Limits{})}
}

// pdata turns one JSON record into OTLP with the collector's data model.
func (k *keytrail) pdata(raw []byte) ([]byte, error) {
	if err := k.dec.Decode(raw, &k.ev); err != nil {
		return nil, err
	}
	if err := k.event(k.whole); err != nil {
		return nil, err
	}
	return viaPdata(&k.rec)
}

func (k *keytrail) event(n *normalize.Normalizer) error {
	ok, err := n.Record(&k.ev, observed, &k.rec)
	if err == nil && !ok {
		return fmt.Errorf("%s of %s is filtered", k.ev.Name, k.ev.Source)
	}
	return err
}

// record turns one JSON record into OTLP.
func (k *keytrail) record(raw []byte) error {
	if err := k.dec.Decode(raw, &k.ev); err != nil {
		return err
	}
	if err := k.event(k.n); err != nil {
		return err
	}
	k.out = otellog.AppendRequest(k.out[:0], &k.rec)
	return nil
}

// stream turns every record of a file, packed or not, into OTLP, and returns their
// number. As in the program, one Reader reads all files.
func (k *keytrail) stream(file io.Reader) (records int, err error) {
	k.in.Reset(file, "corpus")
	for ; ; records++ {
		if err := k.in.Next(&k.ev); err == io.EOF {
			return records, nil
		} else if err != nil {
			return records, err
		}
		if err := k.event(k.n); err != nil {
			return records, err
		}
		k.out = otellog.AppendRequest(k.out[:0], &k.rec)
	}
}

// file is stream for a file of the corpus.
func (k *keytrail) file(b []byte) error {
	n, err := k.stream(bytes.NewReader(b))
	if err == nil && n != corpus.FileRecords {
		err = fmt.Errorf("%d records in a file of %d", n, corpus.FileRecords)
	}
	return err
}

// viaPdata turns a normalized record into OTLP in the collector's way: it builds its data
// model and marshals that.
func viaPdata(rec *otellog.Record) ([]byte, error) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl(otellog.SchemaURL)
	putAll(rl.Resource().Attributes(), rec.Resource)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(otellog.ScopeName)
	sl.Scope().SetVersion(otellog.SchemaVersion)
	lr := sl.LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.Timestamp(rec.Time))
	lr.SetObservedTimestamp(pcommon.Timestamp(rec.Observed))
	lr.SetSeverityNumber(plog.SeverityNumber(rec.Severity))
	lr.SetSeverityText(rec.Severity.Text())
	lr.SetEventName(rec.EventName)
	lr.Body().SetStr(rec.Body)
	putAll(lr.Attributes(), rec.Attrs)
	var m plog.ProtoMarshaler
	return m.MarshalLogs(logs)
}

func putAll(m pcommon.Map, list []otellog.Attr) {
	m.EnsureCapacity(len(list))
	for i := range list {
		switch a := &list[i]; a.Kind {
		case otellog.KindString:
			m.PutStr(a.Key, a.Str)
		case otellog.KindBool:
			m.PutBool(a.Key, a.Int != 0)
		case otellog.KindInt:
			m.PutInt(a.Key, a.Int)
		case otellog.KindDouble:
			m.PutDouble(a.Key, a.Num)
		case otellog.KindStrings:
			s := m.PutEmptySlice(a.Key)
			s.EnsureCapacity(len(a.Strs))
			for _, v := range a.Strs {
				s.AppendEmpty().SetStr(v)
			}
		}
	}
}
