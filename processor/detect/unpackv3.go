package detect

import "keytrail/schemas/wire"

// decodeV3 reads an entity of version 1, 2 or 3.
func decodeV3(d *wire.Decoder, version uint64, ent *Entity) {
	ent.Since, ent.Seen, ent.Last = d.Int(), d.Int(), d.Int()
	if version > 1 && d.Bool() {
		ent.Bound, ent.Used = &wire.Binding{Time: d.Int(), ARN: d.String()}, d.Int()
	}
	for i := range wire.SetsV1 {
		ent.High[i] = int(d.Uint())
	}
	b := &ent.Baseline
	if b.Since = d.Int(); b.Since != 0 {
		b.Until, b.MuSq, b.Excess = d.Int(), d.Float(), d.Float()
		for i := range b.Calls {
			d.Float() // how many windows were learned, which since and until tell
			b.Calls[i] = d.Float()
		}
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		ent.Windows = append(ent.Windows, decodeWindowV3(d, ent.Entity))
	}
	if version < 3 {
		return
	}
	for n := d.Count(); n > 0 && d.Err() == nil; n-- {
		size := d.Int()
		w := decodeWindowV3(d, ent.Entity)
		w.Size = size
		ent.Rollups = append(ent.Rollups, w)
	}
}

func decodeWindowV3(d *wire.Decoder, entity wire.Entity) *Window {
	w := &Window{Revision: int32(d.Uint()), Closed: d.Bool(), Changed: d.Bool(), Published: d.Int()}
	w.Partial = d.PartialV1()
	w.Entity = entity
	return w
}
