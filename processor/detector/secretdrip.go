package detector

import (
	"fmt"
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// SecretDrip asks: has one principal touched more different secrets and parameters today
// than on any day of the last weeks, by far? It finds whoever takes one secret an hour.
//
// State: a bitmap of the day (entity.Objects), and the most of a day. Warm-up: five days
// with calls. Known false positives: a program that gets many new parameters.
var SecretDrip = Detector{
	"secret_drip", 18, anomaly.KindFanOut, []string{"T1555.006", "T1552"}, 24 * hour, judgeSecretDrip,
}

func judgeSecretDrip(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set, h := &w.Sets[wire.SetSecrets], &ent.Habits
	if ent.Scope != wire.ScopePrincipal || len(set.Values) == 0 || h.Calls.Days < entity.MinDays {
		return Finding{}, false
	}
	s, o := v.Settings(), &h.Secrets
	n, high, factor := o.With(w.Start, set), o.Top(w.Start), s.FanOutFactor
	if v.Person(ent.Principal) {
		factor *= peopleFactor
	}
	if n < float64(s.SweepSecrets) || n < factor*high {
		return Finding{}, false
	}
	return Finding{Score: min(6+math.Log2(n/max(high, 1))/2, 9), Observed: math.Round(n), Expected: math.Round(high),
		Reason: fmt.Sprintf("%s has made calls for about %.0f different secrets or parameters since midnight (UTC); "+
			"the most on any day of the last weeks was %.0f; watched since %s.", ent.Principal, n, high, date(ent.Since))}, true
}
