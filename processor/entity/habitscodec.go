package entity

import "keytrail/schemas/wire"

// Presence bits of packed habits: most entities have few of them.
const (
	hasTops = 1 << iota
	hasGap
	hasUsers
	hasOrigin
	hasObjects
	hasOngoing
	hasCalls
	hasUsed // alone: it is the bit
	hasTried
	hasFamilies
	hasForeign
	hasSecrets
)

func appendHabits(e *wire.Encoder, h *Habits) {
	has := uint64(0)
	for i, there := range [...]bool{
		h.Tops != Tops{}, h.Gap != 0, h.Users != 0 || len(h.Accounts) > 0, len(h.Networks)+len(h.Clients)+len(h.Keys) > 0,
		h.Objects.Bits != nil, len(h.Ongoing) > 0, h.Calls != Calls{}, h.Used, h.Tried, len(h.Families) > 0,
		len(h.Foreign) > 0, h.Secrets.Bits != nil,
	} {
		if there {
			has |= 1 << i
		}
	}
	e.Uint(has)
	if has&hasTops != 0 {
		t := &h.Tops
		e.Int(t.Day)
		e.Uint(uint64(t.Days))
		floats(e, t.Today, t.Both, t.One.Mean, t.One.Squares, t.Two.Mean, t.Two.Squares)
		e.Int(t.Hour)
		floats(e, t.This, t.Last, t.Hours, t.Long.Mean, t.Long.Squares)
	}
	if has&hasGap != 0 {
		e.Float(h.Gap)
	}
	if has&hasUsers != 0 {
		e.Uint(uint64(h.Users))
		e.Uint(uint64(h.Fresh))
		e.Time(h.FreshAt)
		appendHashes(e, h.Accounts)
	}
	if has&hasOrigin != 0 {
		appendHashes(e, h.Networks)
		appendHashes(e, h.Clients)
		appendHashes(e, h.Keys)
	}
	if has&hasObjects != 0 {
		appendObjects(e, &h.Objects)
	}
	if has&hasFamilies != 0 {
		e.Uint(uint64(len(h.Families)))
		for _, f := range h.Families {
			e.Uint(uint64(f.Name))
			e.Uint(uint64(f.Members))
		}
	}
	if has&hasForeign != 0 {
		appendHashes(e, h.Foreign)
	}
	if has&hasSecrets != 0 {
		appendObjects(e, &h.Secrets)
	}
	if has&hasCalls != 0 {
		c := &h.Calls
		e.Int(c.Day)
		e.Uint(uint64(c.Days))
		floats(e, c.Today, c.Before, c.Two.Mean, c.Two.Squares)
	}
	if has&hasOngoing != 0 {
		e.Uint(uint64(len(h.Ongoing)))
		for _, o := range h.Ongoing {
			e.Uint(uint64(o.Code))
			e.Time(o.Start)
			e.Time(o.Last)
			e.Time(o.Said)
			floats(e, o.Observed, o.Score)
		}
	}
}

func appendObjects(e *wire.Encoder, o *Objects) {
	e.Int(o.Day)
	e.Uint(uint64(o.Days))
	e.Float(o.Peak)
	appendBitmap(e, o.Bits)
}

func decodeObjects(d *wire.Decoder, most int) Objects {
	return Objects{Day: d.Int(), Days: int(d.Uint()), Peak: d.Float(), Bits: decodeBitmap(d, most)}
}

func decodeHabits(d *wire.Decoder, h *Habits) {
	has := d.Uint()
	h.Used, h.Tried = has&hasUsed != 0, has&hasTried != 0
	if has&hasTops != 0 {
		decodeTops(d, &h.Tops)
	}
	if has&hasGap != 0 {
		h.Gap = d.Float()
	}
	if has&hasUsers != 0 {
		h.Users, h.Fresh, h.FreshAt, h.Accounts = int(d.Uint()), int(d.Uint()), d.Time(), decodeHashes(d)
	}
	if has&hasOrigin != 0 {
		h.Networks, h.Clients, h.Keys = decodeHashes(d), decodeHashes(d), decodeHashes(d)
	}
	if has&hasObjects != 0 {
		h.Objects = decodeObjects(d, MaxObjects)
	}
	if has&hasFamilies != 0 {
		for n := d.Count(); n > 0 && d.Err() == nil; n-- {
			h.Families = append(h.Families, Family{uint32(d.Uint()), int(d.Uint())})
		}
	}
	if has&hasForeign != 0 {
		h.Foreign = decodeHashes(d)
	}
	if has&hasSecrets != 0 {
		h.Secrets = decodeObjects(d, MaxSecrets)
	}
	if has&hasCalls != 0 {
		decodeCalls(d, &h.Calls)
	}
	if has&hasOngoing != 0 {
		for n := d.Count(); n > 0 && d.Err() == nil; n-- {
			h.Ongoing = append(h.Ongoing, Ongoing{uint8(d.Uint()), d.Time(), d.Time(), d.Time(), d.Float(), d.Float()})
		}
	}
}

func floats(e *wire.Encoder, list ...float32) {
	for _, v := range list {
		e.Float(v)
	}
}

func decodeTops(d *wire.Decoder, t *Tops) {
	t.Day, t.Days, t.Today, t.Both = d.Int(), int(d.Uint()), d.Float(), d.Float()
	t.One, t.Two = decodeUsual(d), decodeUsual(d)
	t.Hour, t.This, t.Last, t.Hours, t.Long = d.Int(), d.Float(), d.Float(), d.Float(), decodeUsual(d)
}

func decodeCalls(d *wire.Decoder, c *Calls) {
	c.Day, c.Days, c.Today = d.Int(), int(d.Uint()), d.Float()
	c.Before, c.Two = d.Float(), decodeUsual(d)
}

func decodeUsual(d *wire.Decoder) Usual { return Usual{Mean: d.Float(), Squares: d.Float()} }

func appendHashes(e *wire.Encoder, list []uint32) {
	e.Uint(uint64(len(list)))
	for _, v := range list {
		e.Uint(uint64(v))
	}
}

func decodeHashes(d *wire.Decoder) (list []uint32) {
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		list = append(list, uint32(d.Uint()))
	}
	return list
}

// appendBitmap writes the words that have bits: few on an ordinary day.
func appendBitmap(e *wire.Encoder, bitmap []uint64) {
	used := uint64(0)
	for i, b := range bitmap {
		if b != 0 {
			used |= 1 << i
		}
	}
	e.Uint(used)
	for _, b := range bitmap {
		if b != 0 {
			e.Uint(b)
		}
	}
}

func decodeBitmap(d *wire.Decoder, most int) []uint64 {
	bitmap := make([]uint64, most/64)
	used := d.Uint()
	for i := range bitmap {
		if used&(1<<i) != 0 {
			bitmap[i] = d.Uint()
		}
	}
	return bitmap
}
