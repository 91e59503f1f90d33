package wire

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"keytrail/schemas/decoding"
	"keytrail/schemas/printable"
)

// DeadLetter is one piece of input that was not counted or delivered, with the reason and
// its origin. In Kafka its value is Raw and the rest are headers; in a file it is one JSON
// object per line.
type DeadLetter struct {
	Stage  string // the stage that gave up: scan, in_kms, out_kms, collect, normalize, count, detect, forward
	Reason string // one of a bounded set, such as decoding.Reason
	Detail string // what was expected and found, for a person
	Object string // file, S3 object, or topic/partition
	Index  int    // the record's number in Object
	Offset int64  // the record's first byte in Object, or its Kafka offset
	Time   int64  // when, nanoseconds since 1970
	Sink   string // the identifier of the sink that refused it; "" of other stages
	Raw    []byte // the original bytes
	Cut    bool   // Raw is only their beginning
}

// FromBadRecord returns the dead letter of a record that did not decode. Any
// other error becomes one with the reason "error". Raw is shared with err.
func FromBadRecord(stage string, err error, at time.Time) DeadLetter {
	var bad *decoding.BadRecord
	if !errors.As(err, &bad) {
		return DeadLetter{Stage: stage, Reason: "error", Detail: err.Error(), Time: at.UnixNano()}
	}
	return DeadLetter{
		Stage: stage, Reason: string(bad.Reason), Detail: bad.Detail, Object: bad.Object,
		Index: bad.Index, Offset: bad.Offset, Time: at.UnixNano(), Raw: bad.Raw, Cut: bad.Cut,
	}
}

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// StageReplayed is the stage of a record that is not a dead letter: its value names the
// letters that were put back.
const StageReplayed = "replayed"

// Headers returns the Kafka headers of d: stage, reason, detail, object, index, offset, sink
// if a sink refused it, and cut when Raw is not whole. All values are text.
func (d *DeadLetter) Headers() []Header {
	h := []Header{
		{"stage", []byte(d.Stage)}, {"reason", []byte(d.Reason)}, {"detail", []byte(d.Detail)}, {"object", []byte(d.Object)},
		{"index", strconv.AppendInt(nil, int64(d.Index), 10)}, {"offset", strconv.AppendInt(nil, d.Offset, 10)},
	}
	if d.Sink != "" {
		h = append(h, Header{"sink", []byte(d.Sink)})
	}
	if d.Cut {
		h = append(h, Header{"cut", []byte("true")})
	}
	return h
}

// SetHeader sets the field that Headers writes under a key. It ignores other keys, and
// numbers that cannot be read.
func (d *DeadLetter) SetHeader(key string, value []byte) {
	text := string(value)
	switch key {
	case "stage":
		d.Stage = text
	case "reason":
		d.Reason = text
	case "detail":
		d.Detail = text
	case "object":
		d.Object = text
	case "index":
		d.Index, _ = strconv.Atoi(text)
	case "offset":
		d.Offset, _ = strconv.ParseInt(text, 10, 64)
	case "sink":
		d.Sink = text
	case "cut":
		d.Cut = text == "true"
	}
}

// Origin returns the topic and partition in Object, of a letter about a Kafka record.
func (d *DeadLetter) Origin() (topic string, partition int32, err error) {
	topic, text, _ := strings.Cut(d.Object, "/")
	n, err := strconv.ParseUint(text, 10, 31)
	return topic, int32(n), err
}

// AppendJSON appends d as one JSON object without a newline. raw is a string
// when the bytes are UTF-8, else raw_base64 holds them.
func (d *DeadLetter) AppendJSON(dst []byte) []byte {
	form := struct {
		Time   string `json:"time"`
		Stage  string `json:"stage"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
		Object string `json:"object,omitempty"`
		Index  int    `json:"index"`
		Offset int64  `json:"offset"`
		Sink   string `json:"sink,omitempty"`
		Cut    bool   `json:"cut,omitempty"`
		Raw    string `json:"raw,omitempty"`
		Base64 []byte `json:"raw_base64,omitempty"`
	}{Time: time.Unix(0, d.Time).UTC().Format(time.RFC3339Nano), Stage: d.Stage, Reason: d.Reason, Detail: d.Detail,
		Object: d.Object, Index: d.Index, Offset: d.Offset, Sink: d.Sink, Cut: d.Cut}
	if utf8.Valid(d.Raw) {
		form.Raw = string(d.Raw)
	} else {
		form.Base64 = d.Raw
	}
	b, err := json.Marshal(form)
	if err != nil { // strings, integers and bytes always encode
		panic("BUG: cannot encode dead letter: " + err.Error())
	}
	return append(dst, printable.JSON(b)...)
}
