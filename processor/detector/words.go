package detector

import (
	"fmt"
	"strings"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// This file has the words of the sentences that say why something is an anomaly.

func subject(v View, ent *entity.Entity, w *entity.Window) string {
	switch {
	case ent.Scope != wire.ScopeKey:
		return ent.Principal
	case ent.Key == kms.NoEntity:
		return "Calls without a KMS key"
	}
	name := KeyName(v, ent.Entity, w.Start)
	return strings.ToUpper(name[:1]) + name[1:]
}

// KeyName names the KMS key of an entity in a sentence about the window at start. With an
// alias it names the key behind it.
func KeyName(v View, of wire.Entity, start int64) string {
	if cloud.Form(of.Key) != kms.FormAlias {
		return "KMS key " + of.Key
	}
	if key := entity.Target(v.Bound(of, start)); key != "" {
		return "alias " + of.Key + " of KMS key " + key
	}
	return "alias " + of.Key
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

func date(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z") }

func callCount(n int64) string { return several(n, "call") }

// several writes a number of things: "1 use", "2 uses".
func several(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// refused says how tries to use a KMS key ended, none of which succeeded.
func refused(w *entity.Window, tries int64) string {
	switch denied := count.Get(&w.Partial, wire.CounterDenied); {
	case denied == 0:
		return "failed"
	case denied >= tries && count.Get(&w.Partial, wire.CounterFailed) == 0:
		return "was refused"
	}
	return "was refused or failed"
}

// touched is the verb for the objects of a window's calls.
func touched(w *entity.Window) string {
	if w.Uses() < w.ToJudge() {
		return "made calls for"
	}
	return "touched"
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

// rarity says how likely something is that no window from since to start had. By the rule
// of succession (Laplace) it comes less than once in one window more than these.
func rarity(since, start, size int64) string {
	return fmt.Sprintf("below 1 in %d", max(start-since, 0)/size+1)
}

// most names the largest number in any window before w, and the probability of a larger one.
func most(ent *entity.Entity, w *entity.Window, high int, size int64) string {
	if ent.Since == 0 {
		return "it was not seen before"
	}
	return fmt.Sprintf("the most in any window since %s was %d (probability %s)",
		date(ent.Since), high, rarity(ent.Since, w.Start, size))
}

// Several writes a number of things: "1 network", "2 networks".
func Several(n int, thing string) string { return several(int64(n), thing) }
