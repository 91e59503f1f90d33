package cloud

import (
	"keytrail/schemas/aws/arn"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/kms"
)

// clouds are the clouds that Keytrail knows. The first one reads the objects that no other
// recognizes, and answers for names that no other owns, such as kms.NoEntity.
var clouds = []cloud{{
	provider: "aws",
	reader: func(o Options) Reader {
		return normalize.NewReader(o.Limits, normalize.New(normalize.Options{
			OmitBody: o.OmitBody, SelfPrincipals: o.SelfPrincipals, Direct: o.Encoded,
		}))
	},
	owns: arn.Is, form: arn.Form, place: arn.Place, short: arn.Short, familiar: arn.Familiar,
	account: arn.PrincipalAccount, actor: arn.Actor,
	othersKey: arn.OthersKey, othersPrincipal: arn.OthersPrincipal, isOthers: arn.IsOthers,
	unusable: normalize.Unusable, aliasChange: normalize.AliasChange, lesser: normalize.Lesser, change: normalize.ChangeOf,
}}

// cloud is what Keytrail must know of a cloud: how to read its events, and what the names
// and error codes in its log records mean. All functions are pure, and all are set but
// reads of the first cloud.
type cloud struct {
	provider string // the value of cloud.provider

	reader func(Options) Reader
	// reads reports whether an object is of this cloud. start is its beginning, inflated,
	// up to beginningBytes of it.
	reads func(start []byte) bool

	// owns reports whether a name has a form that only this cloud has.
	owns func(name string) bool

	form     func(key string) kms.Form
	place    func(name string) (account, region string) // each "" where the name has none
	short    func(name string) string                   // for tables
	familiar func(name string) string                   // the part by which people know it
	// account returns the account of a principal, or "". An account of up to 12 digits has
	// its own bound on entities (window.Config.MaxAccountEntities); all others share one.
	account func(principal string) string
	actor   func(principal string) kms.Actor

	// othersKey and othersPrincipal name those of an account ("" for none) that a partition
	// does not tell apart. No call can have such names; isOthers knows them.
	othersKey, othersPrincipal func(account string, partition int32) string
	isOthers                   func(name string) bool

	// unusable reports whether a call failed because its KMS key is disabled or waits for
	// its deletion.
	unusable    func(code, message string) bool
	aliasChange func(operation string) kms.AliasChange
	// change returns what a successful operation changes in the life cycle of a KMS key.
	change func(operation string) kms.Change
	// lesser reports whether an operation does less than its class says.
	lesser func(operation string) bool
}
