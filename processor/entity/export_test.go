package entity

// Loose returns ent as before its first packing.
func (ent *Entity) Loose() *Entity {
	for _, list := range [...][]*Window{ent.Windows, ent.Rollups} {
		for _, w := range list {
			w.from, w.to = 0, 0
		}
	}
	return ent
}
