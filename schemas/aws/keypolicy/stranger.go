package keypolicy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// stranger is an AWS account that a policy does not name, with all that its principals
// can have in a request.
type stranger struct {
	account, org string
	owner        string // the key's account
	text         string // the policy
	now          time.Time
	left         *int // of maxWork
}

// maxWork bounds what one policy costs, in values that are compared and characters of
// patterns that are followed: some tens of milliseconds. Policies as people write them need
// a hundredth of it. One that needs more is taken for open, because nothing shows that it
// keeps strangers out.
const maxWork = 300_000

// spend takes from what is left of the work, and reports whether there was enough.
func (s *stranger) spend(n int) bool {
	*s.left -= n
	return *s.left >= 0
}

// strangers returns two accounts whose ids begin differently, so that no pattern shuts out
// both by chance.
func strangers(text, owner string, at time.Time) (list []*stranger) {
	left := maxWork
	for _, first := range [...]int{917_340_652_118, 204_985_173_366} {
		id := first
		for strings.Contains(text, strconv.Itoa(id)) {
			id++
		}
		list = append(list, &stranger{
			account: strconv.Itoa(id), org: "o-" + strconv.Itoa(id), owner: owner, text: text, now: at, left: &left,
		})
	}
	return list
}

// enters reports whether one request of the stranger is allowed by the statement and
// denied by none of the policy's.
func (s *stranger) enters(allow *statement, policy statements) bool {
	if !s.meant(allow) {
		return false
	}
	can := choices{}
	allowed, denied := allow.conditions(), [][]condition{}
	var denying []*statement
	all := slices.Clone(allowed)
	for i := range policy {
		if d := &policy[i]; d.denies() && s.meant(d) {
			denying = append(denying, d)
			list := s.expand(d.conditions())
			denied, all = append(denied, list), append(all, list...)
		}
	}
	allowed, all = s.expand(allowed), s.expand(all)
	for i := range all {
		if _, known := can[all[i].key]; !known {
			can[all[i].key] = s.values(all[i].key, all)
		}
	}
	for i := range allowed {
		if !s.keep(can, &allowed[i], true) {
			return *s.left < 0
		}
	}
	for _, action := range actions {
		if !allow.covers(action) {
			continue
		}
		var against [][]condition
		for i, d := range denying {
			if d.covers(action) {
				against = append(against, denied[i])
			}
		}
		if s.escape(can, against) {
			return true
		}
	}
	return *s.left < 0
}

// choices are, by condition key, the values that a request may have: each is a list, and an
// empty one stands for a request without the key.
type choices map[string][][]string

// keep leaves only the values for which a condition holds, or does not; false when there
// are none.
func (s *stranger) keep(can choices, c *condition, holds bool) bool {
	if !s.spend(len(can[c.key]) * (1 + len(c.values))) {
		return false
	}
	can[c.key] = slices.DeleteFunc(slices.Clone(can[c.key]), func(v []string) bool { return c.holds(v) != holds })
	return len(can[c.key]) > 0
}

// escape reports whether some choice makes a condition of each denial fail.
func (s *stranger) escape(can choices, denials [][]condition) bool {
	if len(denials) == 0 {
		return true
	}
	for i := range denials[0] {
		c := &denials[0][i]
		before := can[c.key]
		if s.keep(can, c, false) && s.escape(can, denials[1:]) {
			can[c.key] = before
			return true
		}
		can[c.key] = before
	}
	return false
}

// meant reports whether a statement is about the stranger's principals.
func (s *stranger) meant(st *statement) bool {
	switch {
	case st.Principal != nil:
		return slices.ContainsFunc(st.Principal.aws, s.is)
	case st.NotPrincipal != nil:
		return !slices.ContainsFunc(st.NotPrincipal.aws, s.is)
	}
	return false
}

// is reports whether a principal may be one of the stranger: "*", and patterns that leave
// the account open. AWS documents no such patterns; where it accepts one, it is meant so.
func (s *stranger) is(principal string) bool {
	return like(principal, s.account) || len(s.instances(principal, s.arns())) > 0
}

// arns are the beginnings of the ARNs of the stranger's principals.
func (s *stranger) arns() (list []string) {
	for _, partition := range [...]string{"aws", "aws-cn", "aws-us-gov", "aws-eusc"} {
		if partition != "aws" && !strings.Contains(s.text, "arn:"+partition+":") {
			continue
		}
		iam, sts := "arn:"+partition+":iam::"+s.account+":", "arn:"+partition+":sts::"+s.account+":"
		list = append(list, iam+"role/", iam+"user/", iam+"root", sts+"assumed-role/", sts+"federated-user/")
	}
	return list
}

// expand replaces the policy variables in the values of conditions by what they are for
// the stranger. One that is not known stays as it is, and matches nothing.
func (s *stranger) expand(list []condition) []condition {
	list = slices.Clone(list)
	for i := range list {
		values := slices.Clone(list[i].values)
		for k := range values {
			values[k] = s.variables(values[k])
		}
		list[i].values = values
	}
	return list
}

func (s *stranger) variables(value string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "${")
		name, after, closed := strings.Cut(rest, "}")
		if b.WriteString(before); !found || !closed {
			b.WriteString(value[len(before):])
			return b.String()
		}
		switch strings.ToLower(name) {
		case "aws:principalaccount", "kms:calleraccount":
			b.WriteString(s.account)
		case "aws:principalorgid":
			b.WriteString(s.org)
		case "aws:resourceaccount":
			b.WriteString(s.owner)
		default:
			b.WriteString("${" + name + "}")
		}
		value = after
	}
}
