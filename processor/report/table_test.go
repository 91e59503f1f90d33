package report

import (
	"fmt"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// TestEntitiesStayApart checks that different KMS keys, aliases or principals have
// different names in a table: replicas of a multi-Region key and aliases of one name by
// Region, others by account, partition or id.
func TestEntitiesStayApart(t *testing.T) {
	seen := map[string]wire.Entity{}
	add := func(e wire.Entity) {
		name := entityName(recordOf(e))
		if other, twice := seen[name]; twice {
			t.Errorf("%q stands for %+v and %+v", name, other, e)
		}
		seen[name] = e
	}
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		for _, account := range []string{"111122223333", "444455556666"} {
			for _, path := range []string{"role/app", "role/team/app", "user/app"} {
				add(wire.Entity{Scope: wire.ScopePrincipal, Principal: fmt.Sprintf("arn:%s:iam::%s:%s", partition, account, path)})
			}
			for _, region := range []string{"eu-west-1", "us-east-2"} {
				for _, resource := range []string{"key/mrk-0a1b", "key/0a1b", "alias/app"} {
					key := fmt.Sprintf("arn:%s:kms:%s:%s:%s", partition, region, account, resource)
					add(wire.Entity{Scope: wire.ScopeKey, Key: key})
					add(wire.Entity{Scope: wire.ScopePair, Key: key, Principal: "arn:aws:iam::111122223333:role/app"})
				}
			}
		}
	}
	add(wire.Entity{Scope: wire.ScopeKey, Key: "-"})
	add(wire.Entity{Scope: wire.ScopePrincipal, Principal: "s3.amazonaws.com"})
}

// recordOf is the record of a window of e.
func recordOf(e wire.Entity) *otellog.Record {
	var rec otellog.Record
	anomaly.WindowRecord(&rec, &entity.Window{Partial: wire.Partial{Entity: e}}, 1, 0)
	return &rec
}
