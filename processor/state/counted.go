package state

import (
	"fmt"
	"math"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/rule"
	"keytrail/processor/sigma"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Counted is one record of the dedup topic: the calls that one commit of stage count has
// counted of one source partition. The records that Head accounts for, read from the
// oldest on, restore the partition's memory of calls.
type Counted struct {
	Keys []dedup.Key // the calls counted
	// Credits are the calls counted by a copy that a better one may correct, and the
	// corrections of such calls.
	Credits []count.Call
	// Observed is what correlations saw of each of the Credits; nil if they saw none.
	Observed []Observed
}

// Observed is what the correlations of the user's rules saw of one call.
type Observed struct {
	// Spent means that there was too much to keep: the call stays counted, and later
	// copies of it are not observed.
	Spent bool
	List  []Observation
}

// Observation is a sigma.Observation, with the fingerprint of its correlation.
type Observation struct {
	Correlation uint64
	Rule        int
	Group       string
	Value       uint64
}

// Append appends c to dst. It uses e and leaves it empty.
func (c *Counted) Append(dst []byte, e *wire.Encoder) []byte {
	e.Reset()
	e.Version()
	e.Uint(uint64(len(c.Credits)))
	e.Bool(len(c.Observed) > 0)
	for i := range c.Credits {
		appendCall(e, &c.Credits[i])
		if len(c.Observed) > 0 {
			appendObserved(e, &c.Observed[i])
		}
	}
	e.Uint(uint64(len(c.Keys)))
	e.B = dedup.AppendKeys(e.B, c.Keys)
	return append(dst, e.B...)
}

// DecodeCounted reads what Append wrote.
func DecodeCounted(value []byte) (Counted, error) {
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return Counted{}, fmt.Errorf("cannot restore counted calls: %w", err)
	}
	c := Counted{}
	credits, observed := d.Count(), d.Bool()
	for n := credits; n > 0 && d.Err() == nil; n-- {
		call, ok := decodeCall(d)
		if !ok { // it would count under an unknown counter
			return Counted{}, fmt.Errorf("cannot restore counted calls: %w: a call has an unknown class %d, outcome %d or "+
				"context %d, or too many rules", wire.ErrFrame, call.Class, call.Outcome, call.Context)
		}
		c.Credits = append(c.Credits, call)
		if observed {
			c.Observed = append(c.Observed, decodeObserved(d))
		}
	}
	n := d.Count()
	rest := d.Rest()
	if d.Err() != nil || len(rest) != n*dedup.KeySize {
		return Counted{}, fmt.Errorf("cannot restore counted calls: %w: %d keys in %d bytes", wire.ErrFrame, n, len(rest))
	}
	for k := range dedup.Keys(rest) {
		c.Keys = append(c.Keys, k)
	}
	return c, nil
}

// spread bounds the time between the copies of one call and between the records about it:
// copies are recognized in adjacent buckets of dedup.Span.
const spread = 4 * dedup.Span

// Until returns the event time, in ns, up to which calls must be forgotten before the
// record is obsolete. It covers the calls in the record and their copies in other
// records, because the newest record of a call must go last. An empty record is obsolete.
func (c *Counted) Until() int64 {
	last := int64(math.MinInt64)
	for i := range c.Keys {
		last = max(last, c.Keys[i].Time)
	}
	for i := range c.Credits {
		last = max(last, c.Credits[i].Time)
	}
	return min(last, math.MaxInt64-spread) + spread
}

func appendCall(e *wire.Encoder, c *count.Call) {
	e.String(c.IDText)
	e.Int(c.Time)
	e.Uint(uint64(c.Copy))
	e.String(c.Key)
	e.String(c.SecondKey)
	e.String(c.Principal)
	e.Uint(uint64(c.Class))
	e.Uint(uint64(c.Outcome))
	e.Uint(uint64(c.Context))
	e.Uint(c.Object)
	e.Bool(c.Direct)
	e.Bool(c.Cross)
	e.Bool(c.Self)
	e.Uint(uint64(c.Rules))
	e.Bool(c.Unusable)
	e.Uint(uint64(c.Network))
	e.Uint(uint64(c.Client))
	e.Uint(uint64(c.Matched))
	e.Uint(uint64(c.Suppressed))
	e.Uint(uint64(c.Withheld))
	e.Bool(c.Open)
	e.Bool(c.Lesser)
}

// decodeCall reads what appendCall wrote; ok reports whether this program knows its
// numbers.
func decodeCall(d *wire.Decoder) (c count.Call, ok bool) {
	c.IDText, c.Time = d.String(), d.Int()
	rank := d.Uint()
	c.Key, c.SecondKey, c.Principal = d.String(), d.String(), d.String()
	class, outcome, context := d.Uint(), d.Uint(), d.Uint()
	c.Object, c.Direct, c.Cross, c.Self, c.Rules = d.Uint(), d.Bool(), d.Bool(), d.Bool(), rule.Set(d.Uint())
	c.Unusable, c.Network, c.Client = d.Bool(), uint32(d.Uint()), uint32(d.Uint())
	matched, suppressed, withheld := d.Uint(), d.Uint(), d.Uint()
	c.Open, c.Lesser = d.Bool(), d.Bool()
	c.Matched, c.Suppressed, c.Withheld = uint16(matched), uint16(suppressed), uint16(withheld)
	c.ID = wire.ParseCallID(c.IDText)
	c.Copy, c.Class, c.Outcome, c.Context = kms.Copy(rank), kms.Class(class), kms.Outcome(outcome), kms.Context(context)
	return c, rank <= uint64(kms.CopyCaller) && class < uint64(kms.NumClasses) &&
		outcome <= uint64(kms.OutcomeFailed) && context < uint64(kms.NumContexts) && matched <= sigma.MaxRules &&
		max(suppressed, withheld) <= sigma.MaxRules+32
}

func appendObserved(e *wire.Encoder, o *Observed) {
	e.Bool(o.Spent)
	e.Uint(uint64(len(o.List)))
	for i := range o.List {
		e.Fixed(o.List[i].Correlation)
		e.Uint(uint64(o.List[i].Rule))
		e.String(o.List[i].Group)
		e.Fixed(o.List[i].Value)
	}
}

func decodeObserved(d *wire.Decoder) (o Observed) {
	o.Spent = d.Bool()
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		print, rule := d.Fixed(), d.Uint()
		if rule > sigma.MaxRules {
			rule = sigma.MaxRules // damaged: no correlation has it
		}
		o.List = append(o.List, Observation{print, int(rule), d.String(), d.Fixed()})
	}
	return o
}
