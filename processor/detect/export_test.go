package detect

// SetHot bounds the unpacked entities, for tests that want some to be packed.
func (e *Engine) SetHot(n int) { e.store.most = n }

// Windows returns how many windows a Storm remembers.
func (s *Storm) Windows() int { return len(s.windows) }

// Counts returns how many counts it remembers.
func (s *Storm) Counts() int { return s.n }
