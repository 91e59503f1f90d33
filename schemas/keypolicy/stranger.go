package keypolicy

import (
	"net/netip"
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
}

// strangers returns two accounts whose ids begin differently, so that no pattern shuts out
// both by chance.
func strangers(text, owner string, at time.Time) (list []*stranger) {
	for _, first := range [...]int{917_340_652_118, 204_985_173_366} {
		id := first
		for strings.Contains(text, strconv.Itoa(id)) {
			id++
		}
		list = append(list, &stranger{account: strconv.Itoa(id), org: "o-" + strconv.Itoa(id), owner: owner, text: text, now: at})
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
		if !can.keep(&allowed[i], true) {
			return false
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
		steps := maxSteps
		if can.escape(against, &steps) {
			return true
		}
	}
	return false
}

// maxSteps bounds the search for a request that no statement denies: with the 32 kB that a
// key policy may have, and for each action, a few milliseconds. A policy that needs more is
// taken for open, because its denials cannot be shown to keep a stranger out.
const maxSteps = 2000

// choices are, by condition key, the values that a request may have: each is a list, and an
// empty one stands for a request without the key.
type choices map[string][][]string

// keep leaves only the values for which a condition holds, or does not; false when there
// are none.
func (can choices) keep(c *condition, holds bool) bool {
	can[c.key] = slices.DeleteFunc(slices.Clone(can[c.key]), func(v []string) bool { return c.holds(v) != holds })
	return len(can[c.key]) > 0
}

// escape reports whether some choice makes a condition of each denial fail.
func (can choices) escape(denials [][]condition, steps *int) bool {
	if len(denials) == 0 || *steps == 0 {
		return true
	}
	*steps--
	for i := range denials[0] {
		c := &denials[0][i]
		before := can[c.key]
		if can.keep(c, false) && can.escape(denials[1:], steps) {
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

// restricting returns what a stranger has of a condition key that says who calls or from
// where, and whether a request may do without it. known is false for the other keys, whose
// values he can choose.
func (s *stranger) restricting(key string, patterns []string) (own []string, absent, known bool) {
	switch key {
	case "aws:principalaccount", "kms:calleraccount":
		return []string{s.account}, false, true
	case "aws:principalarn":
		return append(s.instances("*", s.arns()), s.each(patterns, s.arns())...), false, true
	case "aws:userid":
		return append([]string{"AIDA" + s.account, "AROA" + s.account + ":session"}, s.each(patterns, []string{"AROA" + s.account + ":"})...), false, true
	case "aws:principalorgid", "aws:vpceorgid":
		return []string{s.org}, true, true
	case "aws:principalorgpaths", "aws:vpceorgpaths":
		return []string{s.org + "/r-zzzz/ou-zzzz-zzzzzzzz/"}, true, true
	case "aws:principalisawsservice":
		return []string{"false"}, false, true
	case "aws:securetransport":
		return []string{"true", "false"}, false, true
	case "aws:multifactorauthpresent", "aws:viaawsservice", "kms:grantisforawsresource", "kms:bypasspolicylockoutsafetycheck", "kms:multiregion":
		return []string{"true", "false"}, true, true
	case "aws:resourceaccount":
		return []string{s.owner}, false, s.owner != ""
	case "aws:sourceip":
		return s.addresses(patterns), true, true
	case "aws:sourcevpc", "aws:ec2instancesourcevpc":
		return []string{"vpc-" + s.account}, true, true
	case "aws:sourcevpce":
		return []string{"vpce-" + s.account}, true, true
	case "aws:sourceaccount", "aws:vpceaccount", "aws:sourceowner":
		return []string{s.account}, true, true
	case "aws:sourcearn", "aws:sourcevpcarn", "aws:federatedprovider", "lambda:sourcefunctionarn", "ec2:sourceinstancearn":
		return s.foreign(patterns), true, true
	}
	// Keys of services other than KMS are in no request of a principal, and those of an
	// enclave's or a service's identity cannot be had.
	return nil, true, !strings.HasPrefix(key, "aws:") && !strings.HasPrefix(key, "kms:") || strings.HasPrefix(key, "kms:recipientattestation:") ||
		strings.HasPrefix(key, "aws:sourceorg") || strings.HasPrefix(key, "aws:principalservicename")
}

// values are the values of a condition key that the stranger's requests may have. Of keys
// that restrict nobody, such as aws:SecureTransport, kms:ViaService, an encryption context
// or a tag of the caller, he may have any; then the values in question are those that
// the policy names, those beside them, one that it does not name, and none.
func (s *stranger) values(key string, all []condition) (list [][]string) {
	var patterns []string
	for i := range all {
		if all[i].key == key {
			patterns = append(patterns, all[i].values...)
		}
	}
	own, absent, known := s.restricting(key, patterns)
	switch {
	case known:
	case key == "aws:currenttime":
		own, absent = s.times(patterns, func(t time.Time) string { return t.UTC().Format(time.RFC3339) }), false
	case key == "aws:epochtime":
		own, absent = s.times(patterns, func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }), false
	default:
		own, absent = append([]string{"true", "false", "other-" + s.account}, s.each(patterns, []string{""})...), true
		for _, p := range patterns {
			if n, err := strconv.ParseFloat(p, 64); err == nil {
				own = append(own, strconv.FormatFloat(n-1, 'f', -1, 64), strconv.FormatFloat(n+1, 'f', -1, 64))
			}
			if t, ok := parseDate(p); ok {
				own = append(own, t.Add(-time.Second).UTC().Format(time.RFC3339), t.Add(time.Second).UTC().Format(time.RFC3339))
			}
		}
	}
	for _, v := range own {
		list = append(list, []string{v})
	}
	if absent {
		list = append(list, nil)
	}
	return list
}

// times are the time of the request: now, and what is later of the times named and of
// those beside them.
func (s *stranger) times(patterns []string, write func(time.Time) string) []string {
	list := []string{write(s.now)}
	for _, p := range patterns {
		t, ok := parseDate(p)
		for _, beside := range [...]time.Duration{-time.Second, 0, time.Second} {
			if at := t.Add(beside); ok && !at.Before(s.now) {
				list = append(list, write(at))
			}
		}
	}
	return list
}

// addresses are some from which the stranger may call: of each range that is too broad to
// be somebody's, and some of the internet that no narrow one holds.
func (s *stranger) addresses(patterns []string) (list []string) {
	var narrow []netip.Prefix
	candidates := []string{"52.119.10.4", "3.66.2.9", "185.31.7.7", "104.20.8.1", "17.5.7.30", "2600:1f18::17", "2a05:d014::9"}
	for _, text := range patterns {
		p, ok := parseRange(text)
		switch {
		case !ok:
		case p.Addr().Is4() && p.Bits() < 8, p.Addr().Is6() && p.Bits() < 32:
			a := p.Addr().AsSlice()
			for i := range a[1:] { // not the range's first address: 0.0.0.0 is nobody's
				a[i+1] |= byte(i + 1)
			}
			if within, ok := netip.AddrFromSlice(a); ok && p.Contains(within) {
				candidates = append(candidates, within.String())
			}
		default:
			narrow = append(narrow, p)
		}
	}
	for _, c := range candidates {
		a := netip.MustParseAddr(c)
		if !slices.ContainsFunc(narrow, func(p netip.Prefix) bool { return p.Contains(a) }) {
			list = append(list, c)
		}
	}
	return list
}

// foreign are ARNs of resources of the stranger that patterns match: those that leave the
// account open, or that name no account and leave the name open.
func (s *stranger) foreign(patterns []string) []string {
	list := []string{"arn:aws:s3:::bucket-of-" + s.account}
	for _, p := range patterns {
		if parts := strings.SplitN(p, ":", 6); len(parts) == 6 && (strings.ContainsAny(parts[4], "*?") || parts[4] == "" && strings.Contains(parts[5], "*")) {
			if like(parts[4], s.account) {
				parts[4] = s.account
			}
			list = append(list, strings.NewReplacer("*", "x", "?", "x").Replace(strings.Join(parts, ":")))
		} else if len(parts) < 6 && strings.Contains(p, "*") {
			list = append(list, s.instances(p, []string{"arn:aws:lambda:eu-west-1:" + s.account + ":function:"})...)
		}
	}
	return list
}

// each returns what instances returns for each of several patterns.
func (s *stranger) each(patterns, prefixes []string) (list []string) {
	for _, p := range patterns {
		list = append(list, s.instances(p, prefixes)...)
	}
	return list
}

// instances returns texts that begin with one of the prefixes, go on without a colon, and
// are as the pattern wants them. An ARN of the stranger has all of its colons in the
// prefix, so there are none of a pattern that names another account.
func (s *stranger) instances(pattern string, prefixes []string) (list []string) {
	for _, prefix := range prefixes {
		at := map[int]bool{0: true} // places in the pattern that the prefix may lead to
		for i := range len(prefix) {
			next := map[int]bool{}
			for p := range at {
				for ; p < len(pattern) && pattern[p] == '*'; p++ {
					next[p] = true // the star takes it and stays
				}
				if p < len(pattern) && (pattern[p] == '?' || pattern[p] == prefix[i]) {
					next[p+1] = true
				}
			}
			at = next
		}
		for p := range at {
			rest := pattern[p:]
			if prefix != "" && strings.Contains(rest, ":") {
				continue
			}
			list = append(list, prefix+strings.NewReplacer("*", "x", "?", "x").Replace(rest))
		}
	}
	return list
}
