package scan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"sync"
	"unsafe"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// fact is what a scan keeps of one call, or of one binding: 80 bytes without a
// pointer, so that millions of them can be sorted, and written to disk as they
// are.
type fact struct {
	id         wire.CallID
	event      wire.CallID // eventID, to choose between copies of one call
	time       int64
	object     uint64
	key        uint32 // names are numbers in a names table
	second     uint32 // 0: none; of a binding, what key stood for
	principal  uint32
	text       uint32 // the call id's text where it is no lower-case UUID; else 0
	sum        uint32 // CRC-32C of the record's bytes
	rules      rule.Set
	network    uint32
	client     uint32
	copy       normalize.Copy
	class      normalize.Class
	outcome    normalize.Outcome
	context    normalize.Context
	flags      uint8
	suppressed uint8
	matched    uint16 // rules of the user
}

const factSize = int(unsafe.Sizeof(fact{}))

const (
	flagDirect = 1 << iota
	flagCross
	flagSelf
	flagUnusable
	flagObserved // correlations count the call
	flagBinding  // the fact is no call but a binding of key to second: see makeBinding
)

// names numbers strings, for facts to refer to. It grows with the distinct KMS
// keys and principals of a trail, not with its events. Safe for concurrent use.
type names struct {
	mu    sync.RWMutex
	index map[string]uint32
	list  []string
}

func newNames() *names { return &names{index: map[string]uint32{"": 0}, list: []string{""}} }

// number returns the number of s; s is copied when it is new.
func (n *names) number(s string) uint32 {
	n.mu.RLock()
	i, ok := n.index[s]
	n.mu.RUnlock()
	if ok {
		return i
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.index[s]; ok {
		return i
	}
	own := string([]byte(s))
	i = uint32(len(n.list))
	n.list = append(n.list, own)
	n.index[own] = i
	return i
}

func (n *names) name(i uint32) string { return n.list[i] }

// makeFact keeps c as a fact. eventID and sum tell copies of one call apart.
func makeFact(c *count.Call, eventID string, sum uint32, n *names) fact {
	f := fact{
		id: c.ID, event: wire.ParseCallID(eventID), time: c.Time, object: c.Object, sum: sum,
		key: n.number(c.KeyARN), second: n.number(c.SecondARN), principal: n.number(c.Principal),
		rules: c.Rules, matched: c.Matched, suppressed: uint8(min(c.Suppressed, 255)), copy: c.Copy, class: c.Class, outcome: c.Outcome, context: c.Context,
		network: c.Network, client: c.Client,
	}
	if !isUUID(c.ID, c.IDText) {
		f.text = n.number(c.IDText)
	}
	if c.Direct {
		f.flags |= flagDirect
	}
	if c.Cross {
		f.flags |= flagCross
	}
	if c.Self {
		f.flags |= flagSelf
	}
	if c.Unusable {
		f.flags |= flagUnusable
	}
	return f
}

// call makes the fact a call again.
func (f *fact) call(n *names) count.Call {
	c := count.Call{
		ID: f.id, IDText: n.name(f.text), Time: f.time, Copy: f.copy, KeyARN: n.name(f.key), SecondARN: n.name(f.second),
		Principal: n.name(f.principal), Class: f.class, Outcome: f.outcome, Context: f.context, Object: f.object, Rules: f.rules, Matched: f.matched, Suppressed: uint16(f.suppressed),
		Direct: f.flags&flagDirect != 0, Cross: f.flags&flagCross != 0, Self: f.flags&flagSelf != 0,
		Unusable: f.flags&flagUnusable != 0, Network: f.network, Client: f.client,
	}
	if f.text == 0 {
		c.IDText = uuid(f.id)
	}
	return c
}

// makeBinding keeps what was learned of a KMS key or an alias as a fact: such
// facts take the way of the calls, through the files and into the order of time,
// and the same one read again is removed like a duplicate.
func makeBinding(p *wire.Partial, n *names) fact {
	text := fmt.Sprintf("binding %d %q %q", p.Binding.Time, p.KeyARN, p.Binding.ARN)
	return fact{id: wire.ParseCallID(text), time: p.Binding.Time, key: n.number(p.KeyARN), second: n.number(p.Binding.ARN), flags: flagBinding}
}

// binding makes the fact a partial again.
func (f *fact) binding(size int64, n *names) *wire.Partial {
	return &wire.Partial{
		Entity: wire.Entity{Scope: wire.ScopeKey, KeyARN: n.name(f.key)}, Start: eventtime.Start(f.time, size),
		Binding: &wire.Binding{Time: f.time, ARN: n.name(f.second)},
	}
}

// isUUID tells whether text is id written as a UUID, so that it need not be kept.
func isUUID(id wire.CallID, text string) bool {
	hi, lo, ok := wire.ParseUUID(text)
	return ok && hi == binary.BigEndian.Uint64(id[:8]) && lo == binary.BigEndian.Uint64(id[8:])
}

// uuid writes 128 bits as a UUID.
func uuid(id wire.CallID) string {
	return string(wire.AppendUUID(nil, binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])))
}

// byCall orders facts by call, and the copies of a call by which one counts:
// the best copy, then the earliest, then the smallest event id, then the
// smallest checksum. The order is total over different records, so the copy
// that counts does not depend on which was read first.
func byCall(a, b *fact) int {
	return cmp.Or(
		bytes.Compare(a.id[:], b.id[:]),
		cmp.Compare(b.copy, a.copy),
		cmp.Compare(a.time, b.time),
		bytes.Compare(a.event[:], b.event[:]),
		cmp.Compare(a.sum, b.sum),
	)
}

// asBytes returns the memory of facts, to write them to a file of this process
// or to read them back.
func asBytes(facts []fact) []byte {
	if len(facts) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&facts[0])), len(facts)*factSize)
}
