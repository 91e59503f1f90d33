package detect

import (
	"fmt"
	"strings"
	"time"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// This file has the words of the sentences that say why something is an anomaly.

func subject(e *Engine, ent *Entity, w *Window) string {
	switch {
	case ent.Scope != wire.ScopeKey:
		return ent.Principal
	case ent.KeyARN == kms.NoEntity:
		return "Calls without a KMS key"
	}
	name := keyName(e, ent, w)
	return strings.ToUpper(name[:1]) + name[1:]
}

// keyName names the KMS key of an entity, and with an alias the key behind it.
func keyName(e *Engine, ent *Entity, w *Window) string {
	if !ent.IsAlias() {
		return "KMS key " + ent.KeyARN
	}
	if key := target(e.bound(ent.Entity, w.Start)); key != "" {
		return "alias " + ent.KeyARN + " of KMS key " + key
	}
	return "alias " + ent.KeyARN
}

// expected writes an expected count as a person says it: "0.25", "12.3", "1234".
func expected(mu float64) string {
	switch {
	case mu >= 100:
		return fmt.Sprintf("%.0f", mu)
	case mu >= 0.001:
		return fmt.Sprintf("%.3g", mu)
	}
	return "less than 0.001"
}

// span writes a window's size as a person says it: "5m", "1h".
func span(ns int64) string {
	s := strings.TrimSuffix(time.Duration(ns).String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func date(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z") }

func callCount(n int64) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}

func atLeast(n int, capped bool) string {
	if capped {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}

// likelihood writes a probability as a person says it: "1 in 3 million".
func likelihood(p float64) string {
	if p < 1e-18 {
		return "below 1 in a billion billion"
	}
	n := 1 / p
	switch {
	case n >= 1e12:
		return fmt.Sprintf("1 in %.0f million million", n/1e12)
	case n >= 1e9:
		return fmt.Sprintf("1 in %.0f billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("1 in %.0f million", n/1e6)
	}
	return fmt.Sprintf("1 in %.0f", n)
}

// rarity says how likely it is what no window from since to start had: by the rule of
// succession (Laplace) less than once in as many and one.
func rarity(since, start, size int64) string {
	return fmt.Sprintf("below 1 in %d", max(start-since, 0)/size+1)
}

// most says what the most in any window before was, and how likely more is.
func most(ent *Entity, w *Window, high int, size int64) string {
	if ent.Since == 0 {
		return "it was not seen before"
	}
	return fmt.Sprintf("the most in any window since %s was %d (probability %s)", date(ent.Since), high, rarity(ent.Since, w.Start, size))
}

// several writes a number of things: "1 network", "2 networks".
func several(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
