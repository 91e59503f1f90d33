package wire

import (
	"errors"
	"fmt"
)

// FormatVersion is the version of Keytrail's own formats: frames, entities, panes, open
// anomalies, ledgers, the progress of detect, and counted calls. Each of these values begins with it. They share one
// number because they are written in the same transactions: a program that reads one of them
// has to read them all. Raise it with any change of any of these formats.
const FormatVersion = 11

// maxVersion is the highest version that a later program may have. A higher first byte
// begins a text, which is damage, not a version.
const maxVersion = 15

// ErrNewer says, beside ErrFrame, that a newer program made the value. Its counts are not
// lost, but have to wait for that program.
var ErrNewer = errors.New("a newer version of Keytrail made it; see docs/operations.md, \"Upgrades\"")

// ErrOlder says, beside ErrFrame, that an older program made the value. This program does
// not read it: the installation has to start over.
var ErrOlder = errors.New("an older version of Keytrail made it: start over; " +
	"docs/operations.md, \"Starting over\", says how")

// Version appends FormatVersion. It comes first in every value.
func (e *Encoder) Version() { e.Uint(FormatVersion) }

// Version reads what Encoder.Version wrote. Any other version is ErrFrame, together with
// ErrOlder or ErrNewer when it is the version of another program; nothing can be read then.
func (d *Decoder) Version() error {
	v := d.Uint()
	var other error
	switch {
	case d.err != nil || v == FormatVersion:
		return d.err
	case v == 0 || v > maxVersion:
		d.fail()
		return d.err
	case v < FormatVersion:
		other = ErrOlder
	default:
		other = ErrNewer
	}
	d.b, d.err = nil, fmt.Errorf("%w: version %d, this program knows %d: %w", ErrFrame, v, FormatVersion, other)
	return d.err
}
