package detect

// SetHot bounds the unpacked entities, for tests that want some to be packed.
func (e *Engine) SetHot(n int) { e.store.most = n }

// Packed returns how many bytes the packed entities take, what is out of date among
// them included, and how many do not.
func (e *Engine) Packed() (all, dead int) {
	for _, s := range e.store.slabs {
		all += len(s.b)
		dead += s.dead
	}
	return all, dead
}
