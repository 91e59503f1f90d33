package normalize

import (
	"strconv"
	"strings"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/keypolicy"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// parameters writes what the request, the response and the details say about
// the key, its use and its grants.
func (n *Normalizer) parameters(ev *cloudtrail.Event, rec *otellog.Record) {
	if ev.Source == serviceTrail || ev.Source == ServiceDigest {
		n.trail(ev, rec)
		return
	}
	q, p, s, x := &ev.Request, &ev.Response, &ev.Service, &ev.Extra
	rec.String(semconv.AWSKMSKeySpec, q.KeySpec)
	rec.String(semconv.AWSKMSKeyUsage, q.KeyUsage)
	rec.String(semconv.AWSKMSKeyOrigin, first(q.Origin, s.KeyOrigin))
	rec.String(semconv.AWSKMSKeyState, p.KeyState)
	rec.String(semconv.AWSKMSKeyMaterialID, first(x.KeyMaterialID, x.SourceMaterialID,
		s.CurrentMaterialID, s.KeyMaterialID, p.KeyMaterialID, q.KeyMaterialID))
	rec.String(semconv.AWSKMSDestinationKeyMaterialID, x.DestinationMaterialID)
	rec.String(semconv.AWSKMSKeyRotationType, s.RotationType)
	number(rec, semconv.AWSKMSRotationPeriodDays, q.RotationPeriodDays)
	rec.String(semconv.AWSKMSKeyPreviousMaterialID, s.PreviousMaterialID)
	rec.String(semconv.AWSKMSCustomKeyStoreType, q.CustomKeyStoreType)
	rec.String(semconv.AWSKMSCustomKeyStoreID, first(q.CustomKeyStoreID, p.CustomKeyStoreID, x.CustomKeyStoreID))
	boolean(rec, semconv.AWSKMSDryRun, q.DryRun)
	n.contexts(ev, rec)
	n.grant(ev, rec)
	if q.Policy != "" {
		rec.Bool(semconv.KeytrailPolicyPublic, keypolicy.Open(q.Policy, account(ev), time.Unix(0, rec.Time)))
		rec.Strings(semconv.KeytrailPolicyAccounts, keypolicy.Accounts(q.Policy, account(ev)))
	}
	boolean(rec, semconv.AWSKMSPolicyLockoutCheckBypassed, q.BypassPolicyLockout)
	number(rec, semconv.AWSKMSPendingWindowDays, q.PendingWindowDays)
	rec.String(semconv.AWSKMSDeletionDate, p.DeletionDate)
	n.date(rec, semconv.KeytrailKeyDeletionDate, p.DeletionDate)
	rec.String(semconv.AWSKMSMaterialImportType, q.ImportType)
	rec.String(semconv.AWSKMSMaterialExpirationModel, q.ExpirationModel)
	rec.String(semconv.AWSKMSMaterialValidTo, q.ValidTo)
	n.date(rec, semconv.KeytrailKeyValidTo, q.ValidTo)
	rec.String(semconv.AWSKMSReplicaRegion, q.ReplicaRegion)
	rec.String(semconv.AWSKMSPrimaryRegion, q.PrimaryRegion)
	n.attestation(&x.Attestation, rec)
}

// number writes a whole number that is decoded as text; other text is left to
// the body.
func number(rec *otellog.Record, key, text string) {
	if text == "" { // ParseInt would allocate an error
		return
	}
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		rec.Int(key, v)
	}
}

// grant writes what a call says of a grant. The name of CreateGrant is decoded
// as that of a trail, which CloudTrail's calls have under the same name.
func (n *Normalizer) grant(ev *cloudtrail.Event, rec *otellog.Record) {
	q := &ev.Request
	rec.String(semconv.AWSKMSGrantID, first(ev.Response.GrantID, q.GrantID, ev.Extra.GrantID))
	if ev.Name == "CreateGrant" {
		rec.String(semconv.AWSKMSGrantName, q.TrailName)
	}
	rec.String(semconv.AWSKMSGrantGranteePrincipal, q.GranteePrincipal)
	rec.String(semconv.AWSKMSGrantRetiringPrincipal, q.RetiringPrincipal)
	rec.String(semconv.AWSKMSGrantGranteeService, q.GranteeService)
	rec.String(semconv.AWSKMSGrantRetiringService, q.RetiringService)
	rec.Strings(semconv.AWSKMSGrantOperations, ev.Lists.GrantOperations)
	rec.String(semconv.AWSKMSGrantSourceARN, q.SourceARN)
}

// attestation writes what the attestation document of an enclave or of an
// instance with NitroTPM said.
func (n *Normalizer) attestation(a *cloudtrail.Attestation, rec *otellog.Record) {
	if a.ModuleID == "" && a.ImageDigest == "" {
		return
	}
	rec.String(semconv.AWSKMSAttestationModuleID, a.ModuleID)
	rec.String(semconv.AWSKMSAttestationImageDigest, a.ImageDigest)
	n.sorted = n.sorted[:0]
	for _, r := range [...]cloudtrail.KV{
		{Key: "1", Value: a.PCR1}, {Key: "2", Value: a.PCR2}, {Key: "3", Value: a.PCR3}, {Key: "4", Value: a.PCR4},
		{Key: "7", Value: a.PCR7}, {Key: "8", Value: a.PCR8}, {Key: "9", Value: a.PCR9}, {Key: "16", Value: a.PCR16},
		{Key: "23", Value: a.PCR23},
	} {
		if r.Value != "" {
			n.sorted = append(n.sorted, r)
		}
	}
	if len(n.sorted) > 0 {
		text, _ := n.jsonText(n.sorted, maxMap)
		rec.String(semconv.AWSKMSAttestationPcrs, text)
	}
	if a.ImageDigest != "" {
		rec.Bool(semconv.KeytrailAttestationDebugMode, isZero(a.ImageDigest))
	}
}

// isZero reports whether a digest has no bit set. CloudTrail writes digests in
// hexadecimal digits, and has written them in base64.
func isZero(digest string) bool {
	return strings.Trim(digest, "0") == "" || strings.Trim(strings.TrimRight(digest, "="), "A") == ""
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
