package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Framing is how records are put into requests.
type Framing string

// The framings.
const (
	FramingSingle Framing = "single" // one record per request
	FramingArray  Framing = "array"  // a batch as a JSON array
	FramingNDJSON Framing = "ndjson" // a batch as lines
)

// The headers of the Standard Webhooks specification, version 1.0.0.
const (
	headerID        = "webhook-id"
	headerTime      = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// genericFormat is records in one of the bodies, with the headers of Standard Webhooks: an
// id that does not change when a request is repeated, the time of the attempt, and a
// signature over id, time and content (before compression).
type genericFormat struct {
	body    string
	framing Framing
	secret  setting.Secret
	client  *httpsink.Client
	now     func() time.Time
}

func (f *genericFormat) messages(ctx context.Context, batch []sink.Record, bad *sink.Rejected) (
	list []message, err error,
) {
	keys, err := f.keys(ctx)
	if err != nil {
		return nil, err
	}
	encoder, err := body.New(f.body)
	if err != nil {
		return nil, err
	}
	var all message
	var ids []string
	var r otellog.Record
	for i := range batch {
		r.Reset()
		var text []byte
		err := r.Decode(batch[i].Value)
		if err == nil {
			text, err = encoder.Append(nil, &r)
		}
		if err != nil {
			bad.Records = append(bad.Records, i)
			bad.Err = fmt.Errorf("cannot encode record %d of the batch: %w", i, err)
			continue
		}
		id := recordID(&r, &batch[i])
		if f.framing == FramingSingle {
			list = append(list, f.message([]int{i}, text, body.ContentType(f.body), id, keys))
			continue
		}
		switch {
		case f.framing == FramingNDJSON:
			all.content = append(append(all.content, text...), '\n')
		case len(all.content) == 0:
			all.content = append(append(all.content, '['), text...)
		default:
			all.content = append(append(all.content, ','), text...)
		}
		all.records, ids = append(all.records, i), append(ids, id)
	}
	if len(ids) == 0 {
		return list, nil
	}
	media := "application/x-ndjson"
	if f.framing == FramingArray {
		all.content, media = append(all.content, ']'), "application/json"
	}
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return []message{f.message(all.records, all.content, media, hex.EncodeToString(sum[:16]), keys)}, nil
}

// message returns a request with its id, and the time and the signature of each attempt.
func (f *genericFormat) message(records []int, content []byte, media, id string, keys [][]byte) message {
	return message{records: records, content: content, media: media, header: func() map[string]string {
		at := strconv.FormatInt(f.now().Unix(), 10)
		header := map[string]string{headerID: id, headerTime: at}
		var signatures []string
		for _, key := range keys {
			signatures = append(signatures, sign(key, id, at, content))
		}
		if len(signatures) > 0 {
			header[headerSignature] = strings.Join(signatures, " ")
		}
		return header
	}}
}

// sign returns a signature of Standard Webhooks.
func sign(key []byte, id, at string, content []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + at + "."))
	h.Write(content)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// keys returns the signing keys: none without a secret.
func (f *genericFormat) keys(ctx context.Context) ([][]byte, error) {
	text, err := f.secret.Read(ctx)
	if err != nil {
		return nil, unreadable("signing_secret", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, unreadable("signing_secret", err)
	}
	f.client.Hide("signing_secret", text)
	return keys, nil
}

// parseKeys returns the keys in a text: one, or during a rotation the new and the old one
// with a blank between them. An error does not show them.
func parseKeys(text string) (keys [][]byte, err error) {
	for _, word := range strings.Fields(text) {
		encoded, ok := strings.CutPrefix(word, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < 24 || len(key) > 64 {
			return nil, errors.New("is not a signing secret; want whsec_ and 24 to 64 random bytes in base64, " +
				`as "whsec_$(openssl rand -base64 32)"`)
		}
		keys = append(keys, key)
	}
	if text != "" && keys == nil {
		return nil, errors.New("is blank; write a signing secret, or leave it out")
	}
	return keys, nil
}

// recordID returns the id of a record for the header: the same whenever it is sent, and
// another for each revision.
func recordID(r *otellog.Record, rec *sink.Record) string {
	id := r.Str(semconv.LogRecordUID)
	if id == "" {
		id = fmt.Sprintf("%s-%d-%d", rec.Topic, rec.Partition, rec.Offset)
	}
	if len(id) > 200 {
		sum := sha256.Sum256([]byte(id))
		return hex.EncodeToString(sum[:])
	}
	// A point would make the signed text ambiguous, and other bytes may not be in a header.
	var safe strings.Builder
	for _, c := range []byte(id) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
			safe.WriteByte(c)
		} else {
			fmt.Fprintf(&safe, "%%%02X", c)
		}
	}
	return safe.String()
}

// judge takes every 2xx for a success, as the specification says, if its body has an end.
func (*genericFormat) judge(a *httpsink.Answer) error {
	switch {
	case !a.OK():
		return a.Verdict(a.Words())
	case !a.Whole:
		return httpsink.NotProtocol("status %d with more than %d bytes", a.Status, httpsink.MaxAnswer)
	}
	return nil
}

func (*genericFormat) done(*message) {}
