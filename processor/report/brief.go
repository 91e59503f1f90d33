package report

import (
	"cmp"
	"strings"

	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Brief is the sentence of an anomaly for a line on a screen: names are those that people
// know, without account, Region and path. An anomaly of a key begins with the principal
// that did most of it.
func Brief(rec *otellog.Record) string {
	key, alias := rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.AWSKMSAliasARN)
	familiar := func(name string) string {
		if name == key {
			name = cmp.Or(alias, key)
		}
		return cloud.Familiar(name)
	}
	const around = ".,;:()"
	words := strings.Split(rec.Str(semconv.KeytrailAnomalyReason), " ")
	for i, word := range words {
		if name := strings.Trim(word, around); name != "" {
			words[i] = strings.Replace(word, name, familiar(name), 1)
		}
	}
	text := strings.Join(words, " ")
	if rec.Str(semconv.KeytrailPrincipalID) == "" {
		if by := most(rec); by != "" {
			text = familiar(by) + ": " + text
		}
	}
	return printable.Text(text)
}

// most returns the principal that contributed most to an anomaly, or "".
func most(rec *otellog.Record) string {
	list := rec.Get(semconv.KeytrailAnomalyContributors)
	if list == nil || len(list.Strs) == 0 {
		return ""
	}
	_, rest, _ := strings.Cut(list.Strs[0], " by ")
	by, _, _ := strings.Cut(rest, " (")
	return by
}
