package cloudtrail

import (
	"fmt"
	"strings"
	"testing"
)

// TestWaste: a record made so that every start in it is read to the same damage
// costs a few tries, not one for each start, and the records behind it are read.
func TestWaste(t *testing.T) {
	const size = 64 << 10
	good := `{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"%d"}`
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for n := range 3 {
		fmt.Fprintf(&b, good+",", n)
		for range 100 {
			b.WriteString(`{"eventVersion":"1","x":`)
		}
		b.WriteString("[")
		for from := b.Len(); b.Len() < from+size-5000; {
			b.WriteString(`{"a":1,"b":["c"]},`)
		}
		b.WriteString("damage" + strings.Repeat("}", 100) + ",")
	}
	fmt.Fprintf(&b, good+"]}", 3)
	var events, tries int
	for _, o := range readAll(t, NewReader(strings.NewReader(b.String()), "object", Limits{RecordBytes: size}), b.Len()) {
		if o.reason == "" {
			events++
		} else {
			tries++
		}
	}
	if events != 4 {
		t.Errorf("%d events, want 4", events)
	}
	if tries < 3*maxWaste || tries > 3*(maxWaste+2) {
		t.Errorf("%d tries for three damaged records, want about %d for each", tries, maxWaste)
	}
}
