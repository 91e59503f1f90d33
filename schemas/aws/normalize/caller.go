package normalize

import (
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// caller writes who made the call and returns the principal.
func (n *Normalizer) caller(ev *cloudtrail.Event, rec *otellog.Record) string {
	identity(&ev.Identity, rec)
	if _, _, role, _, ok := sessionOf(ev.Identity.ARN); ok {
		n.roles[0] = role
		rec.Strings(semconv.UserRoles, n.roles[:])
	}
	principal := n.principal(ev)
	rec.String(semconv.KeytrailPrincipalID, principal)
	rec.String(semconv.KeytrailPrincipalSession, sessionName(&ev.Identity))
	return principal
}

// identity writes the identity as CloudTrail gives it, under the names that the
// OpenTelemetry collector's CloudTrail encoding uses.
func identity(id *cloudtrail.Identity, rec *otellog.Record) {
	rec.String(semconv.UserID, id.PrincipalID)
	if id.UserName != "" {
		rec.String(semconv.UserName, id.UserName)
	} else {
		rec.String(semconv.UserName, id.IssuerName)
	}
	rec.String(semconv.AWSAccessKeyID, id.AccessKeyID)
	rec.String(semconv.AWSPrincipalID, id.PrincipalID)
	rec.String(semconv.AWSPrincipalARN, id.ARN)
	rec.String(semconv.AWSPrincipalType, id.Type)
	rec.String(semconv.AWSUserIdentityAccountID, id.Account)
	rec.String(semconv.AWSUserIdentityInvokedBy, id.InvokedBy)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerType, id.IssuerType)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerPrincipalID, id.IssuerPrincipal)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerARN, id.IssuerARN)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerAccountID, id.IssuerAccount)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerUserName, id.IssuerName)
	rec.String(semconv.AWSUserIdentitySessionContextAttributesCreationDate, id.SessionCreated)
	boolean(rec, semconv.AWSUserIdentitySessionContextAttributesMFAAuthenticated, id.MFA)
	rec.String(semconv.AWSUserIdentitySessionContextSourceIdentity, id.SourceIdentity)
	rec.String(semconv.AWSUserIdentityIdentityProvider, first(id.IdentityProvider, id.FederatedBy))
	rec.String(semconv.AWSUserIdentityCredentialID, id.CredentialID)
	rec.String(semconv.AWSUserIdentityOnBehalfOfUserID, id.OnBehalfOfUser)
	rec.String(semconv.AWSUserIdentityOnBehalfOfIdentityStoreARN, id.OnBehalfOfStore)
}
