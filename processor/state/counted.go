package state

import (
	"fmt"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/rule"
	"keytrail/processor/sigma"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// Counted is one record of the dedup topic: what one commit of stage count has
// counted of one source partition. Read from the oldest on, the records give
// the partition's state.
type Counted struct {
	Sequence  uint64      // of the last frame; 0 while the source has had no record
	To        int64       // the source's offsets below it are counted
	Watermark int64       // as the last frame told it
	Late      int64       // as the last frame told it; see wire.Frame
	Ended     int64       // the largest Quiet that a frame told; see wire.Frame
	Front     int64       // as the source's own events alone have made the watermark
	Keys      []dedup.Key // the calls counted
	// Credits are the calls that were counted by a copy which a better one may
	// correct, and the corrections of such.
	Credits []count.Call
	// Observed is what correlations saw of each of the Credits; nil when they saw
	// nothing of any.
	Observed []Observed
}

// Observed is what the correlations of the user's rules saw of one call.
type Observed struct {
	// Spent tells that it was too much to keep: it is counted, and what a better copy of
	// the call shows is not.
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

// Append appends c to dst; e is used and emptied.
func (c *Counted) Append(dst []byte, e *wire.Encoder) []byte {
	e.Reset()
	e.Version()
	e.Uint(c.Sequence)
	e.Int(c.To)
	e.Int(c.Watermark)
	e.Int(c.Late)
	e.Int(c.Ended)
	e.Int(c.Front)
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
	c := Counted{Sequence: d.Uint(), To: d.Int(), Watermark: d.Int(), Late: d.Int(), Ended: d.Int(), Front: d.Int()}
	credits, observed := d.Count(), d.Bool()
	for n := credits; n > 0 && d.Err() == nil; n-- {
		call, ok := decodeCall(d)
		if !ok { // it would be counted under a counter that nobody knows
			return Counted{}, fmt.Errorf("cannot restore counted calls: %w: a call of class %d, outcome %d, context %d, or too many rules", wire.ErrFrame, call.Class, call.Outcome, call.Context)
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

func appendCall(e *wire.Encoder, c *count.Call) {
	e.String(c.IDText)
	e.Int(c.Time)
	e.Uint(uint64(c.Copy))
	e.String(c.KeyARN)
	e.String(c.SecondARN)
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
}

// decodeCall reads what appendCall wrote; ok reports whether its numbers are ones that
// this program knows.
func decodeCall(d *wire.Decoder) (c count.Call, ok bool) {
	c.IDText, c.Time = d.String(), d.Int()
	rank := d.Uint()
	c.KeyARN, c.SecondARN, c.Principal = d.String(), d.String(), d.String()
	class, outcome, context := d.Uint(), d.Uint(), d.Uint()
	c.Object, c.Direct, c.Cross, c.Self, c.Rules = d.Uint(), d.Bool(), d.Bool(), d.Bool(), rule.Set(d.Uint())
	c.Unusable, c.Network, c.Client = d.Bool(), uint32(d.Uint()), uint32(d.Uint())
	matched, suppressed, withheld := d.Uint(), d.Uint(), d.Uint()
	c.Open = d.Bool()
	c.Matched, c.Suppressed, c.Withheld = uint16(matched), uint16(suppressed), uint16(withheld)
	c.ID = wire.ParseCallID(c.IDText)
	c.Copy, c.Class, c.Outcome, c.Context = normalize.Copy(rank), normalize.Class(class), normalize.Outcome(outcome), normalize.Context(context)
	return c, rank <= uint64(normalize.CopyCaller) && class < uint64(normalize.NumClasses) &&
		outcome <= uint64(normalize.OutcomeFailed) && context < uint64(normalize.NumContexts) && matched <= sigma.MaxRules && max(suppressed, withheld) <= sigma.MaxRules+32
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
			rule = sigma.MaxRules // damage: no correlation has it
		}
		o.List = append(o.List, Observation{print, int(rule), d.String(), d.Fixed()})
	}
	return o
}
