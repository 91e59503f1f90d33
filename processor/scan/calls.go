package scan

import (
	"keytrail/processor/count"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// Calls deduplicates the input like Finish, and calls f for every call in order of time,
// without counting windows or judging. The call's key is that for which its alias stood at
// the time, where the input shows that. Both values are valid only during the call. It
// replaces Finish, and needs Config.Details.
func (s *Scanner) Calls(f func(c *count.Call, detail uint32) error) (Totals, error) {
	stands := map[uint32]uint32{} // the keys of aliases
	bindings := 0
	facts, err := s.pool.each(func(at *fact) error {
		if at.flags&flagBinding != 0 {
			bindings++
			if cloud.Form(s.names.name(at.key)) == kms.FormAlias {
				stands[at.key] = at.second
			}
			return nil
		}
		c := at.call(s.names)
		for _, name := range [...]struct {
			n  uint32
			to *string
		}{{at.key, &c.Key}, {at.second, &c.SecondKey}} {
			if key, ok := stands[name.n]; ok && s.names.name(key) != "" {
				*name.to = s.names.name(key)
			}
		}
		if c.SecondKey == c.Key {
			c.SecondKey = ""
		}
		return f(&c, at.detail)
	})
	s.account(facts, bindings)
	return s.totals, err
}

// account completes the totals of facts, some of which are bindings.
func (s *Scanner) account(facts, bindings int) {
	p := s.Progress()
	s.totals.Received, s.totals.Filtered, s.totals.FilteredBy, s.totals.DeadLettered = p.Received, p.Filtered,
		p.FilteredBy, p.DeadLettered
	s.totals.Counted = int64(facts - bindings)
	s.totals.Duplicates = int64(s.pool.total) - s.bindings - s.totals.Counted
}
