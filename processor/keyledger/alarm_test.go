package keyledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/keyledger"
)

// TestRowC8Deadlines: material that expires, overdue rotation and other deadlines are alarms, for all keys of a trail.
func TestRowC8Deadlines(t *testing.T) {
	const days = 86400
	byID := `{"keyId":"` + keyID + `"}`
	replica, primary := inRegion("us-east-1", mrk), inRegion("eu-central-1", mrk)
	create := call{at: 1, name: "CreateKey", request: `{"multiRegion":false}`, key: keyARN}
	imported := call{at: 2, name: "ImportKeyMaterial", request: `{"keyId":"` + keyID + `","validTo":"2026-06-01T00:00:00Z"}`, key: keyARN}
	rotation := call{at: 3, name: "EnableKeyRotation", request: `{"keyId":"` + keyID + `","rotationPeriodInDays":90}`, key: keyARN}
	grant := func(more string) call {
		return call{at: 2, name: "CreateGrant", request: `{"keyId":"` + keyARN + `"` + more + `}`, key: keyARN, more: `,"responseElements":{"grantId":"g"}`}
	}
	for name, c := range map[string]struct {
		calls []call
		day   int // after 2026-03-02
		want  string
	}{
		"nothing":           {[]call{create, imported}, 10, ""},
		"expires":           {[]call{create, imported}, 61, "material_expires"},
		"expired":           {[]call{create, imported}, 91, "material_expired unused"},
		"imported again":    {[]call{create, imported, {at: 80 * days, name: "ImportKeyMaterial", request: byID, key: keyARN}}, 91, "unused"},
		"rotated in time":   {[]call{create, rotation, {at: 89 * days, name: "RotateKey", key: keyARN}, {at: 99 * days, name: "Decrypt", key: keyARN}}, 100, ""},
		"rotation overdue":  {[]call{create, rotation, {at: 99 * days, name: "Decrypt", key: keyARN}}, 100, "rotation_overdue"},
		"rotation off":      {[]call{create, rotation, {at: 4, name: "DisableKeyRotation", request: byID, key: keyARN}}, 1, "rotation_off"},
		"disabled and used": {[]call{create, {at: days, name: "Decrypt", key: keyARN, errorCde: "DisabledException"}}, 2, "unusable_called"},
		"deletion near": {[]call{create, {at: days, name: "ScheduleKeyDeletion", request: byID, key: keyARN, more: `,"responseElements":{"keyId":"` + keyARN + `","deletionDate":"2026-03-10T00:00:00Z"}`},
			{at: 2 * days, name: "Decrypt", key: keyARN, errorCde: "DisabledException"}}, 5, "deletion_near"},
		"old grant":     {[]call{create, {at: 99 * days, name: "Decrypt", key: keyARN}, grant(`,"granteePrincipal":"x"`)}, 100, "grant_old"},
		"service":       {[]call{create, grant(`,"granteeServicePrincipal":"ec2.amazonaws.com"`)}, 1, "grant_without_source"},
		"bound service": {[]call{create, grant(`,"granteeServicePrincipal":"ec2.amazonaws.com","constraints":{"sourceArn":"arn:aws:ec2:::v"}`)}, 1, ""},
		"moved alias": {[]call{create, {at: 2, name: "CreateAlias", request: `{"aliasName":"alias/app"}`, key: keyARN},
			{at: 9, name: "UpdateAlias", request: `{"aliasName":"alias/app"}`, key: inRegion("eu-central-1", otherID)}}, 1, "alias_moved"},
		"deleted": {[]call{create, rotation, {at: 4, name: "DeleteKey", key: keyARN}}, 300, ""},
		"replica": {[]call{{at: 1, name: "ReplicateKey", request: `{"keyId":"` + mrk + `","replicaRegion":"us-east-1"}`, key: primary},
			{at: 2, name: "ScheduleKeyDeletion", request: `{"keyId":"` + mrk + `"}`, key: primary}}, 1, "replica_without_primary"},
	} {
		l := keyledger.New()
		for _, one := range c.calls {
			apply(t, l, []string{one.json()})
		}
		deadlines := keyledger.DefaultDeadlines()
		var kinds []string
		l.All(func(k *keyledger.Key) bool {
			if k.Name == keyARN || k.Name == replica {
				for _, a := range k.Alarms(time.Date(2026, 3, 2+c.day, 0, 0, 0, 0, time.UTC).Unix(), &deadlines, l.Find) {
					kinds = append(kinds, a.Kind)
					if a.At == 0 || a.Text == "" {
						t.Errorf("%s: %+v", name, a)
					}
				}
			}
			return true
		})
		slices.Sort(kinds)
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("%s: alarms %q, want %q", name, got, c.want)
		}
	}
}
