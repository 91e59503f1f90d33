package output

import (
	"strings"
	"testing"

	"keytrail/plugins/internal/chunk"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// The mark of in_kms holds for its record alone, though all have the same caller. It is
// ignored for calls that do not read a file of a trail.
func TestFlushMarksTheCollectorsOwnCalls(t *testing.T) {
	b := newBench(t, nil, seeded())
	var c []byte
	for i := range 6 {
		read := strings.Replace(event(i), `"awsRegion"`, `"requestParameters":{"encryptionContext":{"aws:cloudtrail:arn":"t"}},"awsRegion"`, 1)
		c = chunk.Append(c, &chunk.Record{Event: []byte(read), Object: "o", Self: i%2 == 1})
		c = chunk.Append(c, &chunk.Record{Event: []byte(event(i + 6)), Object: "o", Self: true})
	}
	b.flush(OK, c)
	marked := 0
	var rec otellog.Record
	for _, r := range b.read(b.cfg.Topic) {
		if err := rec.Decode(r.Value); err != nil {
			t.Fatal(err)
		}
		if a := rec.Get(semconv.KeytrailSelf); a != nil && a.Int == 1 {
			marked++
		}
	}
	if marked != 3 {
		t.Errorf("%d of 12 calls are marked, want every second of those that read a trail", marked)
	}
}
