package anomaly

// Windows returns how many windows a Storm remembers.
func (s *Storm) Windows() int { return len(s.windows) }

// Counts returns how many counts it remembers.
func (s *Storm) Counts() int { return s.n }

// Bound bounds the memory of an OpenSet.
func (s *OpenSet) Bound(bytes int) { s.most = bytes }
