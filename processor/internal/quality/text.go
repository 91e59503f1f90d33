package main

import (
	"strings"
	"unicode/utf8"

	"keytrail/schemas/wire"
)

// data describes the trails.
func data(p printer, o options, m *measured) {
	t := m.totals
	p("## The data\n")
	p("The data are %d trails of `keytrail generate`, one per seed of %v, with %d KMS keys, %d principals, %d "+
		"accounts and %d days each. Together they have %d records of %d calls (%d copies, %d records after the allowed "+
		"lateness, %d of other services) and %d five-minute windows of keys, principals and pairs.\n",
		len(o.seeds), o.seeds, o.keys, o.world.principals, len(o.accounts), o.world.days, t.records, t.calls,
		t.duplicates, t.late, t.filtered, t.windows)
	p("The background follows no distribution that a detector assumes: Poisson processes with log-normal noise of " +
		"days, hours and five minutes, office hours in seven time zones, weekends, rates over three orders of " +
		"magnitude, hourly and daily batch jobs, machines with nearly equal steps, levels that switch every few hours " +
		"or days, deployments, new services, slow growth, Bucket Keys turned on and off, rare use, rotation by KMS " +
		"itself, calls across accounts, 1 %% failed calls. Files arrive 2 to 10 minutes late and out of order, 2 %% of " +
		"the records twice.\n")
	p("The first two fifths of each trail are for learning. In the rest every scenario is planted %d times at "+
		"random; some have two labels. Harmless scenarios have labels, too: files that arrive 40 minutes or 3 hours "+
		"late, files delivered three times, six hours read again, deployments, Bucket Keys, new services. Anomalies "+
		"there are false.\n", o.repeat)
}

// how describes the method.
func how(p printer, m *measured) {
	p("## Method\n")
	p("- Thresholds are those of `detector.DefaultSettings`, chosen on seeds 1 to 99. Those of the yardsticks are " +
		"customary; the fixed one has the best F1 on training seeds (`-fit`).")
	p("- The code of `keytrail scan` and of the stages decodes, normalizes, counts and judges the records, in the " +
		"order of file delivery, with the default watermark and lateness. `TestSameAsScan` checks that it gives the " +
		"same windows and anomalies as `scan` on files.")
	p("- An anomaly is about an incident if its entity is one of the incident's (the KMS key, the principal, for a "+
		"pair both; for a blinded trail all of the account) and its window overlaps the time from the first event to "+
		"%v after the last one or its consequences (an undoing, the end of the blindness). Otherwise the anomaly is "+
		"**false**, also in a harmless scenario.", tolerance)
	p("- An incident is **found** if an anomaly of an expected kind is about it. A yardstick has no kinds: all its " +
		"findings count, also by chance.")
	p("- **Time to detection** is from the incident's first event to the delivery of the file whose records lead to " +
		"the anomaly: at once for rules, else while the window is open or when the watermark, 15 minutes behind, has " +
		"passed its end.")
	p("- **Recall** is over incidents, **precision** over anomalies. The area under their curve is the average "+
		"precision over all thresholds of the score; recall that no threshold reaches adds nothing. An **entity-day** "+
		"is a KMS key, principal or pair with a call on a day: %d of keys, %d of principals, %d of pairs.",
		m.entityDays[wire.ScopeKey], m.entityDays[wire.ScopePrincipal], m.entityDays[wire.ScopePair])
	p("- The **yardsticks** judge the same windows of keys and principals, from a day after an entity's first call " +
		"on, if they have 20 calls or more. Mean and deviation have a half-life of a week; Poisson has a mean per hour " +
		"of the day; the rolling median, with 1.4826 times the median absolute deviation, covers a day. The sweep " +
		"omits windows below 3 standard deviations, more likely than 1 in 1,000, or with fewer than 60 calls.\n")
}

// fold breaks the paragraphs and list items of a Markdown text at 90 columns.
func fold(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, "|") || strings.HasPrefix(line, "$") {
			b.WriteString(line)
			continue
		}
		indent := ""
		if strings.HasPrefix(line, "- ") {
			indent = "  "
		}
		width := 0
		for _, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case width == 0:
			case width+1+n > 90:
				b.WriteString("\n" + indent)
				width = len(indent)
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += n
		}
	}
	return b.String()
}
