package detect

// SetHot bounds the unpacked entities, for tests that want some to be packed.
func (e *Engine) SetHot(n int) { e.store.most = n }
