package normalize

import (
	"strconv"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// parameters writes what the request, the response and the details say about
// the key, its use and its grants.
func (n *Normalizer) parameters(ev *cloudtrail.Event, rec *otellog.Record) {
	q, p, s, x := &ev.Request, &ev.Response, &ev.Service, &ev.Extra
	if ev.Source == serviceTrail {
		n.trail(ev, rec)
		return
	}
	rec.String(semconv.AWSKMSKeySpec, q.KeySpec)
	rec.String(semconv.AWSKMSKeyUsage, q.KeyUsage)
	rec.String(semconv.AWSKMSKeyOrigin, first(q.Origin, s.KeyOrigin))
	rec.String(semconv.AWSKMSKeyState, p.KeyState)
	rec.String(semconv.AWSKMSKeyMaterialID, first(x.KeyMaterialID, s.CurrentMaterialID))
	rec.String(semconv.AWSKMSKeyRotationType, s.RotationType)
	rec.String(semconv.AWSKMSKeyPreviousMaterialID, s.PreviousMaterialID)
	rec.String(semconv.AWSKMSAlgorithm, q.Algorithm)
	boolean(rec, semconv.AWSKMSDryRun, q.DryRun)
	n.encryptionContext(ev, rec)
	rec.String(semconv.AWSKMSGrantID, first(p.GrantID, q.GrantID, x.GrantID))
	if ev.Name == "CreateGrant" {
		rec.String(semconv.AWSKMSGrantName, q.TrailName)
	}
	rec.String(semconv.AWSKMSGrantGranteePrincipal, q.GranteePrincipal)
	rec.String(semconv.AWSKMSGrantRetiringPrincipal, q.RetiringPrincipal)
	rec.Strings(semconv.AWSKMSGrantOperations, ev.Lists.GrantOperations)
	if q.Policy != "" {
		rec.Bool(semconv.AWSKMSPolicyPublic, publicPolicy(q.Policy))
	}
	boolean(rec, semconv.AWSKMSPolicyLockoutCheckBypassed, q.BypassPolicyLockout)
	if q.PendingWindowDays != "" { // ParseInt would allocate an error
		if days, err := strconv.ParseInt(q.PendingWindowDays, 10, 64); err == nil {
			rec.Int(semconv.AWSKMSPendingWindowDays, days)
		}
	}
	rec.String(semconv.AWSKMSDeletionDate, p.DeletionDate)
	rec.String(semconv.AWSKMSMaterialExpirationModel, q.ExpirationModel)
	rec.String(semconv.AWSKMSMaterialValidTo, q.ValidTo)
	rec.String(semconv.AWSKMSReplicaRegion, q.ReplicaRegion)
	rec.String(semconv.AWSKMSPrimaryRegion, q.PrimaryRegion)
	rec.String(semconv.AWSKMSAttestationModuleID, x.AttestedBy)
}

func (n *Normalizer) encryptionContext(ev *cloudtrail.Event, rec *otellog.Record) {
	for _, kv := range ev.Context {
		n.context = append(n.context, otellog.Attr{Key: kv.Key, Kind: otellog.KindString, Str: kv.Value})
	}
	rec.Map(semconv.AWSKMSEncryptionContext, n.context)
	class, object := contextOf(ev.Context)
	rec.String(semconv.AWSKMSEncryptionContextClass, class.String())
	rec.String(semconv.AWSKMSEncryptionContextObject, object)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
