package keypolicy

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file has the values that a stranger's requests can have under each condition key.

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
		list := []string{"AIDA" + s.account, "AROA" + s.account + ":session"}
		return append(list, s.each(patterns, []string{"AROA" + s.account + ":"})...), false, true
	case "aws:principalorgid", "aws:vpceorgid":
		return []string{s.org}, true, true
	case "aws:principalorgpaths", "aws:vpceorgpaths":
		return []string{s.org + "/r-zzzz/ou-zzzz-zzzzzzzz/"}, true, true
	case "aws:principalisawsservice":
		return []string{"false"}, false, true
	case "aws:securetransport":
		return []string{"true", "false"}, false, true
	case "aws:multifactorauthpresent", "aws:viaawsservice", "kms:grantisforawsresource",
		"kms:bypasspolicylockoutsafetycheck", "kms:multiregion":
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
	case "aws:vpcsourceip", "aws:ec2instancesourceprivateipv4": // private networks are alike
		for _, text := range patterns {
			if p, ok := parseRange(text); ok {
				own = append(own, p.Addr().String())
			}
		}
		return append(own, "192.0.0.8"), true, true
	case "aws:sourcearn", "aws:sourcevpcarn", "aws:chatbotsourcearn", "aws:federatedprovider",
		"lambda:sourcefunctionarn", "ec2:sourceinstancearn":
		return s.foreign(patterns), true, true
	}
	// Keys of services other than KMS are in no request of a principal, and those of an
	// enclave's or a service's identity cannot be had.
	return nil, true, !strings.HasPrefix(key, "aws:") && !strings.HasPrefix(key, "kms:") ||
		strings.HasPrefix(key, "kms:recipientattestation:") ||
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
	candidates := []string{
		"52.119.10.4", "3.66.2.9", "185.31.7.7", "104.20.8.1", "17.5.7.30", "2600:1f18::17", "2a05:d014::9",
	}
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
		parts := strings.SplitN(p, ":", 6)
		if len(parts) == 6 &&
			(strings.ContainsAny(parts[4], "*?") || parts[4] == "" && strings.Contains(parts[5], "*")) {
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

// maxPattern is the longest pattern for which a text is made, in bytes: an ARN has up to
// 2,048, but names no more than some hundred.
const maxPattern = 512

// instances returns texts that begin with one of the prefixes, go on without a colon, and
// are as the pattern wants them. An ARN of the stranger has all of its colons in the
// prefix, so there are none of a pattern that names another account.
func (s *stranger) instances(pattern string, prefixes []string) (list []string) {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	if len(pattern) > maxPattern {
		return nil
	}
	for _, prefix := range prefixes {
		at := map[int]bool{0: true} // places in the pattern that the prefix may lead to
		for i := range len(prefix) {
			next := map[int]bool{}
			if !s.spend(len(at)) {
				return list
			}
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
		for _, p := range slices.Sorted(maps.Keys(at)) {
			rest := pattern[p:]
			if prefix != "" && strings.Contains(rest, ":") {
				continue
			}
			if !s.spend(len(rest)) {
				return list
			}
			list = append(list, prefix+strings.NewReplacer("*", "x", "?", "x").Replace(rest))
		}
	}
	return list
}
