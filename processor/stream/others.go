package stream

import (
	"fmt"
	"time"

	"keytrail/schemas/wire"
)

// overflowed counts the calls that a step attributed to the others of their accounts, and
// logs them: once an hour per account and partition.
func (d *detector) overflowed(t *detectTask, now time.Time) {
	for _, o := range t.engine.Overflows() {
		for scope, n := range o.Calls {
			d.stats.others[scope] += int(n)
		}
		at := othersOf{t.partition, o.Account}
		if last, told := d.told[at]; told && now.Sub(last) < time.Hour {
			continue
		}
		if d.told == nil || len(d.told) >= maxTold {
			d.told = map[othersOf]time.Time{}
		}
		d.told[at] = now
		account, setting := "-", "detect.max_entities"
		if o.Account != 0 {
			account = fmt.Sprintf("%012d", o.Account)
		}
		if o.Full {
			setting = "detect.max_account_entities"
		}
		d.p.Log.Warn("detect: an account has reached its limit of KMS keys, principals and pairs: calls of further ones "+
			"are counted together and not judged",
			"account", account, "partition", t.partition, "setting", setting, "calls", o.Calls[wire.ScopePrincipal]+o.Calls[wire.ScopePair],
			"counted_as", o.As.Key)
	}
}

// othersOf identifies the others of an account in a partition.
type othersOf struct {
	partition int32
	account   uint64
}

// maxTold bounds the memory of past log lines, about 100 bytes per account and partition:
// when it is full, an account may be logged twice an hour.
const maxTold = 10_000
