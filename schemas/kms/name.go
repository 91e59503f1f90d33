package kms

// Form is what the name of a KMS key says of it.
type Form uint8

// The forms.
const (
	FormOther       Form = iota // none of these; a caller can write any text into a key id
	FormAlias                   // an alias, which stands for a key
	FormKey                     // a key
	FormMultiRegion             // a key that has related keys with the same id in other Regions
)

// IsKey reports whether the name is that of a key, not of an alias.
func (f Form) IsKey() bool { return f >= FormKey }

// Actor is who acts as a principal.
type Actor uint8

// The actors.
const (
	ActorWorkload Actor = iota // a program, or unknown
	ActorPerson                // people: users, administrators
	ActorService               // the cloud itself
)

// AliasChange is what an operation does to the alias that it names.
type AliasChange uint8

// The changes.
const (
	AliasUsed  AliasChange = iota // the operation leaves it as it is
	AliasBound                    // the alias stands for the key from then on
	AliasEnded                    // the alias stands for nothing from then on
)
