package kms

import (
	"fmt"
	"strings"
	"testing"
)

// TestNumbersAreStored holds every number to its name: windows, frames and state hold
// numbers, so a list may only grow at its end.
func TestNumbersAreStored(t *testing.T) {
	f := func(kind, want string, n int, at func(i int) fmt.Stringer, parse func(string) int) {
		t.Helper()
		names := strings.Fields(want)
		if len(names) != n {
			t.Errorf("%d %s, want the %d of %q", n, kind, len(names), want)
		}
		for i := range n {
			if got := at(i).String(); got != names[i] || parse(got) != i {
				t.Errorf("%s %d is %q, which is parsed as %d; want %q", kind, i, got, parse(got), names[i])
			}
		}
	}
	f("classes", "encrypt decrypt generate reencrypt sign verify mac random derive read manage grant destroy policy rotate replicate trail",
		int(NumClasses), func(i int) fmt.Stringer { return Class(i) }, func(s string) int { return int(ParseClass(s)) })
	f("contexts", "none custom s3_object cloudtrail_file cloudtrail_trail ebs_volume ssm_parameter secret lambda chime workmail rds dynamodb logs sqs backup",
		int(NumContexts), func(i int) fmt.Stringer { return Context(i) }, func(s string) int { return int(ParseContext(s)) })
	f("outcomes", "ok denied failed", 3, func(i int) fmt.Stringer { return Outcome(i) }, func(s string) int { return int(ParseOutcome(s)) })
	f("changes", "none created replicated enabled disabled deletion_scheduled deletion_cancelled deleted material_imported material_deleted material_expired rotation_enabled rotation_disabled rotation_requested rotated primary_moved synchronized policy_changed edited alias_pointed alias_removed grant_created grant_retired grant_revoked store_created store_updated store_connected store_disconnected store_deleted",
		int(NumChanges), func(i int) fmt.Stringer { return Change(i) }, func(s string) int { return int(ParseChange(s)) })
	f("copies", "addendum owner caller", 3, func(i int) fmt.Stringer { return Copy(i) }, func(s string) int { return int(ParseCopy(s)) })
}

// TestUnknownText: what a newer version writes is read as the most general value.
func TestUnknownText(t *testing.T) {
	if ParseClass("x") != ClassManage || ParseContext("x") != ContextCustom || ParseOutcome("x") != OutcomeOK || ParseCopy("x") != CopyCaller {
		t.Error("unknown text is not read as manage, custom, ok and caller")
	}
	if NumClasses.String() != "manage" || NumContexts.String() != "custom" {
		t.Error("unknown numbers are not written as manage and custom")
	}
}
