package input

import (
	"testing"

	"keytrail/schemas/aws/cloudtrail"
)

// TestRowB6OwnIdentity: the calls of the role or user that reads the trail are told from those of others.
func TestRowB6OwnIdentity(t *testing.T) {
	f := func(principal string, id cloudtrail.Identity, want bool) {
		t.Helper()
		o := &own{}
		o.add(principal)
		if got := o.made(&cloudtrail.Event{Identity: id}); got != want {
			t.Errorf("%s made a call of %+v: %v, want %v", principal, id, got, want)
		}
	}
	session := cloudtrail.Identity{ARN: "arn:aws:sts::111122223333:assumed-role/keytrail/i-1", IssuerARN: "arn:aws:iam::111122223333:role/service/keytrail"}
	f("arn:aws:sts::111122223333:assumed-role/keytrail/another", session, true)
	f("arn:aws:iam::111122223333:role/keytrail", session, true)
	f("arn:aws:iam::111122223333:role/service/keytrail", session, true)
	f("arn:aws:iam::111122223333:role/service/keytrail", cloudtrail.Identity{IssuerARN: session.IssuerARN}, true)
	f("arn:aws:iam::111122223333:role/keytrai", session, false)
	f("arn:aws:iam::444455556666:role/keytrail", session, false)
	f("arn:aws-cn:sts::111122223333:assumed-role/keytrail/x", session, false)
	f("arn:aws:iam::111122223333:user/a", cloudtrail.Identity{ARN: "arn:aws:iam::111122223333:user/a"}, true)
	f("arn:aws:iam::111122223333:user/a", cloudtrail.Identity{ARN: "arn:aws:iam::111122223333:user/ab"}, false)
	f("arn:aws:iam::111122223333:user/a", cloudtrail.Identity{}, false)
	if (*own)(nil).made(&cloudtrail.Event{}) {
		t.Error("nobody made a call")
	}
}
