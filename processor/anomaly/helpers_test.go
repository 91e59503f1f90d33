package anomaly_test

import "keytrail/processor/internal/calltest"

// The calls and names of package calltest.
const (
	hour, day, size = calltest.Hour, calltest.Day, calltest.Size
	aliasARN        = calltest.Alias
)

var (
	begin                  = calltest.Begin
	keyARN, role, multiARN = calltest.Key, calltest.Role, calltest.MultiRegion
	keyOf, roleOf, pairOf  = calltest.KeyOf, calltest.RoleOf, calltest.PairOf
	decrypt                = calltest.Decrypt
)
