package stream

import (
	"fmt"
	"time"

	"keytrail/schemas/wire"
)

// overflowed counts the calls that a step has put to the others of their accounts, and logs
// them: once an hour for an account in a partition.
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
		d.p.Log.Warn("detect: an account has more KMS keys, principals and pairs than are told apart: calls of further ones are counted together and not judged",
			"account", account, "partition", t.partition, "setting", setting, "calls", o.Calls[wire.ScopePrincipal]+o.Calls[wire.ScopePair],
			"counted_as", o.As.Key)
	}
}

// othersOf are the others of an account in a partition.
type othersOf struct {
	partition int32
	account   uint64
}

// maxTold bounds what is remembered of the log, some 100 bytes for an account and
// partition: when it is full, an account may be told of twice an hour.
const maxTold = 10_000
