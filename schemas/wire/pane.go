package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// PaneKey names one group of a correlation of the user's rules in one pane, which is a
// piece of the correlation's windows.
type PaneKey struct {
	Correlation uint64 // its fingerprint
	Group       string // the values that it groups by, as package sigma writes them
	Start       int64  // of the pane, ns since 1970
}

// paneKind begins the state keys of panes; those of entities begin with other letters.
const paneKind = "c\n"

// StateKey returns the pane's name as one string, which keys the changelog.
func (k PaneKey) StateKey() string {
	return fmt.Sprintf("%s%016x\n%d\n%s", paneKind, k.Correlation, k.Start, k.Group)
}

// IsPaneKey reports whether a state key is that of a pane.
func IsPaneKey(key string) bool { return strings.HasPrefix(key, paneKind) }

// ParsePaneKey is the inverse of StateKey. Other keys are ErrFrame.
func ParsePaneKey(key string) (k PaneKey, err error) {
	print, rest, _ := strings.Cut(strings.TrimPrefix(key, paneKind), "\n")
	start, group, ok := strings.Cut(rest, "\n")
	if k.Correlation, err = strconv.ParseUint(print, 16, 64); err == nil {
		k.Start, err = strconv.ParseInt(start, 10, 64)
	}
	if k.Group = group; err != nil || !ok || k.StateKey() != key {
		return PaneKey{}, fmt.Errorf("%w: state key %q", ErrFrame, key)
	}
	return k, nil
}

// Owner returns the partition, of n, whose detect task owns the group with all its panes.
func (k PaneKey) Owner(n int) int32 {
	return Owner(fmt.Sprintf("%s%016x\n%s", paneKind, k.Correlation, k.Group), n)
}

// Pane is the contribution of some calls to a pane. Panes add up, in any order.
type Pane struct {
	PaneKey
	Tally []byte // as package sigma writes it
	// The KMS key and the principal that all the calls share; "-" when they have several.
	Key, Principal string
	Calls          []CallAt // some of the calls, in their order; several rules may list the same call
}

// CallAt is a call that a rule of a correlation matches. Calls are in the order of the
// rules, then of their times, then of their ids.
type CallAt struct {
	Rule uint8 // its place in the correlation
	Time int64 // event time, ns since 1970
	ID   string
}

// Pane appends a pane.
func (e *Encoder) Pane(p *Pane) {
	e.Fixed(p.Correlation)
	e.String(p.Group)
	e.Time(p.Start)
	e.PaneCounts(p)
}

// PaneCounts appends what a pane holds, without its key.
func (e *Encoder) PaneCounts(p *Pane) {
	e.Uint(uint64(len(p.Tally)))
	e.B = append(e.B, p.Tally...)
	e.String(p.Key)
	e.String(p.Principal)
	e.Uint(uint64(len(p.Calls)))
	for _, c := range p.Calls {
		e.Uint(uint64(c.Rule))
		e.Int(c.Time - p.Start) // a pane is short: three to seven bytes instead of nine
		e.sample(SampleOf(c.ID))
	}
}

// Fixed appends eight bytes.
func (e *Encoder) Fixed(v uint64) { e.B = binary.LittleEndian.AppendUint64(e.B, v) }

// Pane reads a pane.
func (d *Decoder) Pane() (p Pane) {
	p.Correlation, p.Group, p.Start = d.Fixed(), d.String(), d.Time()
	d.PaneCounts(&p)
	return p
}

// PaneCounts reads what Encoder.PaneCounts wrote into p, whose key is known.
func (d *Decoder) PaneCounts(p *Pane) {
	if n := d.Count(); d.err == nil {
		p.Tally = append([]byte(nil), d.b[:n]...)
		d.b = d.b[n:]
	}
	p.Key, p.Principal = d.String(), d.String()
	for n := d.Count(); n > 0 && d.err == nil; n-- {
		rule := d.Uint()
		if rule > 255 {
			d.fail()
		}
		p.Calls = append(p.Calls, CallAt{uint8(rule), p.Start + d.Int(), d.sample().String()})
	}
}
