package keypolicy

import (
	"encoding/json"
	"slices"
	"strings"
)

// Accounts returns the other AWS accounts whose principals the policy names in what it
// allows, sorted: as principals, or, where the principals are a wildcard, in a condition on
// the caller's account. owner is the key's account. A text that is not a policy names none.
func Accounts(text, owner string) (list []string) {
	if !mayName(text, owner) {
		return nil
	}
	var doc struct{ Statement statements }
	if json.Unmarshal([]byte(text), &doc) != nil {
		return nil
	}
	add := func(id string) {
		if isAccount(id) && id != owner && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	for i := range doc.Statement {
		s := &doc.Statement[i]
		if !s.allows() || s.Principal == nil {
			continue
		}
		for _, p := range s.Principal.aws {
			if parts := strings.SplitN(p, ":", 6); len(parts) == 6 {
				p = parts[4]
			}
			if add(p); strings.Contains(p, "*") {
				s.callers(add)
			}
		}
	}
	slices.Sort(list)
	return list
}

// callers calls add with the accounts that a statement's conditions admit.
func (s *statement) callers(add func(id string)) {
	for _, c := range s.conditions() {
		if (c.key == "kms:calleraccount" || c.key == "aws:principalaccount") && !c.negated {
			for _, v := range c.values {
				add(v)
			}
		}
	}
}

func isAccount(id string) bool { return len(id) == 12 && strings.Trim(id, "0123456789") == "" }

// mayName reports whether a policy has the id of an account other than owner. It spares
// most policies the reading.
func mayName(text, owner string) bool {
	if strings.IndexByte(text, '\\') >= 0 {
		return true // an escape may spell it otherwise
	}
	for digits, i := 0, 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			digits = 0
			continue
		}
		if digits++; digits >= 12 && text[i-11:i+1] != owner {
			return true
		}
	}
	return false
}
