package cloudtrail

import (
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
)

const tiny = `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"%d"}`

// TestWaste: a record made so that every start in it is read to the same damage
// costs one try, not one for each start, and the records behind it are read.
func TestWaste(t *testing.T) {
	const size = 64 << 10
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for n := range 3 {
		fmt.Fprintf(&b, tiny+",", n)
		for range 50 {
			b.WriteString(`{"eventVersion":"1","x":[`)
		}
		b.WriteString("[")
		for from := b.Len(); b.Len() < from+size-5000; {
			b.WriteString(`{"a":1,"b":["c"]},`)
		}
		b.WriteString("damage]" + strings.Repeat("]}", 50) + ",")
	}
	fmt.Fprintf(&b, tiny+"]}", 3)
	events, faults := parted(readAll(t, NewReader(strings.NewReader(b.String()), "object", decoding.Limits{RecordBytes: size}), b.Len()))
	if len(events) != 4 || len(faults) != 3 {
		t.Errorf("%d events and %d bad records, want 4 and 3", len(events), len(faults))
	}
}

// TestWasteIsBounded: input made so that the brackets from each place in it stay open
// for longer than a record costs a bounded number of tries. All of it is in dead
// letters.
func TestWasteIsBounded(t *testing.T) {
	const size = 16 << 10
	for name, piece := range map[string]string{
		"nested":         `{"eventVersion":"1","x":[`,
		"braces missing": `{"eventVersion":"1","x":{},`,
		"quotes missing": `{"eventVersion":"1,"x":{}},`,
		"bad literals":   `{"eventVersion":tru},`,
	} {
		text := `{"Records":[` + strings.Repeat(piece, 200*size/len(piece))
		r := NewReader(strings.NewReader(text), "object", decoding.Limits{RecordBytes: size})
		events, faults := parted(readAll(t, r, len(text)))
		if bound := int64(maxWaste*(size+len(text)) + 4*chunk); r.wasted > bound {
			t.Errorf("%s: %d bytes were looked at in vain, want at most %d", name, r.wasted, bound)
		}
		if len(events) != 0 || len(faults) == 0 {
			t.Errorf("%s: %d events and %d bad records", name, len(events), len(faults))
		}
	}
}
