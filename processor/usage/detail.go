// Package usage answers what a KMS key was used for, and whether it may go: it counts the
// calls of each key, judges how well the input covers the key's account and Region, and
// joins both with the key's ledger. It is pure: same input, same report.
package usage

import (
	"strings"
	"sync"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Detail is the part of a call that counting windows does not need. Few differ in a trail.
type Detail struct {
	Operation string // such as "Decrypt"
	Service   string // that made the call for the principal, or kms.Direct
	Account   string // of the caller, else the one that recorded the call
	Region    string
	Network   string // the first two parts of an IPv4 address, three of an IPv6 address, or ""
	TLS       string // the protocol's version, or ""
	Exchange  string // the key exchange of TLS, or ""
}

// Details gives numbers to details. It is safe for concurrent use.
//
// The details are bounded: beyond maxDetails, those of a call are its operation alone, so
// that counts by operation stay exact.
type Details struct {
	mu      sync.Mutex
	numbers map[Detail]uint32
	list    []Detail
}

// maxDetails bounds the details: 262,144 of some 300 bytes take 80 MB. The operations beyond
// have room for maxOperations more.
const (
	maxDetails    = 1 << 18
	maxOperations = 1 << 12
)

// Other stands for operations beyond the bounds.
const Other = "(others)"

// NewDetails returns an empty Details.
func NewDetails() *Details {
	return &Details{numbers: map[Detail]uint32{}, list: []Detail{{Operation: Other}}}
}

// Number returns the number of the detail of a record.
func (d *Details) Number(rec *otellog.Record) uint32 {
	v := detailOf(rec)
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.numbers[v]; ok {
		return n
	}
	if len(d.list) >= maxDetails {
		if v = (Detail{Operation: v.Operation}); len(d.list) >= maxDetails+maxOperations {
			return d.numbers[v] // 0 is Other
		}
		if n, ok := d.numbers[v]; ok {
			return n
		}
	}
	v = Detail{strings.Clone(v.Operation), strings.Clone(v.Service), strings.Clone(v.Account), strings.Clone(v.Region),
		strings.Clone(v.Network), strings.Clone(v.TLS), strings.Clone(v.Exchange)}
	n := uint32(len(d.list))
	d.list, d.numbers[v] = append(d.list, v), n
	return n
}

// At returns the detail with a number that Number returned. The result is read-only.
func (d *Details) At(n uint32) *Detail { return &d.list[n] }

// detailOf reads a record's detail. Its strings are views into the record.
func detailOf(rec *otellog.Record) (d Detail) {
	for i := range rec.Attrs {
		switch a := &rec.Attrs[i]; a.Key {
		case semconv.RPCMethod:
			_, d.Operation, _ = strings.Cut(a.Str, "/")
		case semconv.KeytrailVia:
			d.Service = a.Str
		case semconv.AWSUserIdentityAccountID:
			d.Account = a.Str
		case semconv.ClientAddress:
			d.Network = network(a.Str)
		case semconv.TLSProtocolVersion:
			d.TLS = a.Str
		case semconv.TLSCurve:
			d.Exchange = a.Str
		}
	}
	for i := range rec.Resource {
		switch r := &rec.Resource[i]; {
		case r.Key == semconv.CloudRegion:
			d.Region = r.Str
		case r.Key == semconv.CloudAccountID && d.Account == "":
			d.Account = r.Str
		}
	}
	if d.Service == "" {
		d.Service = kms.Direct
	}
	return d
}

// network returns the part of an address that detectors of new networks compare.
func network(address string) string {
	separator, parts := ".", 2
	if strings.Contains(address, ":") {
		separator, parts = ":", 3
	}
	at := 0
	for range parts {
		i := strings.Index(address[at:], separator)
		if i < 0 {
			return address
		}
		at += i + 1
	}
	return address[:at-1]
}
