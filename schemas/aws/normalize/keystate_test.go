package normalize

import (
	"testing"

	"keytrail/schemas/kms"
)

func TestAliasChange(t *testing.T) {
	for operation, want := range map[string]kms.AliasChange{
		"CreateAlias": kms.AliasBound, "UpdateAlias": kms.AliasBound, "DeleteAlias": kms.AliasEnded,
		"ListAliases": kms.AliasUsed, "Encrypt": kms.AliasUsed, "": kms.AliasUsed,
	} {
		if got := AliasChange(operation); got != want {
			t.Errorf("%q: %v, want %v", operation, got, want)
		}
	}
}
