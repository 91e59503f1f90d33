package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// simMember is one instance of a stage: kafka.Transact's loop in steps, between which
// anything may happen.
type simMember struct {
	s        *sim
	g        *simGroup
	p        kafka.Processor
	owned    map[int32]bool  // in the member's view
	next     map[int32]int64 // its positions
	cut      map[int32]bool  // those whose log had lost its beginning
	changes  []simChange     // decisions of the group that the member has not seen
	in, deaf bool            // the group knows it; it is suspended or cut off, and sees no changes
	failed   bool            // partitions were revoked since its transaction began
	n        int             // records of this transaction
	txn      *simTxn         // written, but not ended
	asked    int64           // time of its last lag
	more     bool            // its last output stopped before the end
	looks    []simLook       // its knowledge of the records of this transaction
}

// simChange is a decision of the group about a partition.
type simChange struct {
	assigned  bool
	partition int32
}

func (s *sim) newMember(g *simGroup, p kafka.Processor) *simMember {
	return &simMember{s: s, g: g, p: p, owned: map[int32]bool{}, next: map[int32]int64{}, cut: map[int32]bool{}, in: true}
}

// give assigns a partition to a member. The previous owner sees that, unless it is deaf,
// and can no longer commit its transaction.
func (s *sim) give(g *simGroup, partition int32, to *simMember) {
	if old := g.owner[partition]; old != nil && !old.deaf {
		old.changes = append(old.changes, simChange{false, partition})
		old.failed = true
	}
	g.owner[partition] = to
	if to != nil {
		to.changes = append(to.changes, simChange{true, partition})
	}
}

// hand assigns all partitions of a member to others, or to nobody.
func (s *sim) hand(m *simMember) {
	var others []*simMember
	for _, o := range m.g.members {
		if o != m && o.in {
			others = append(others, o)
		}
	}
	for p, owner := range m.g.owner {
		if owner != m {
			continue
		}
		m.g.owner[p] = nil
		if len(others) > 0 {
			s.give(m.g, int32(p), others[s.rng.IntN(len(others))])
		}
	}
}

// adopt assigns unowned partitions to a member that the group knows.
func (s *sim) adopt(g *simGroup) {
	for p, owner := range g.owner {
		var known []*simMember
		for _, m := range g.members {
			if m.in {
				known = append(known, m)
			}
		}
		if owner == nil && len(known) > 0 {
			s.give(g, int32(p), known[s.rng.IntN(len(known))])
		}
	}
}

// ownership is that of kafka.Transact.
func (m *simMember) ownership() {
	changes := m.changes
	m.changes = nil
	var fresh []int32
	for _, c := range changes {
		fresh = slices.DeleteFunc(fresh, func(q int32) bool { return q == c.partition })
		delete(m.next, c.partition)
		if c.assigned {
			fresh = append(fresh, c.partition)
		} else {
			m.p.Revoke([]int32{c.partition})
			delete(m.owned, c.partition)
		}
	}
	if len(fresh) == 0 {
		return
	}
	slices.Sort(fresh)
	group := map[int32]int64{}
	for _, p := range fresh {
		group[p] = m.s.b.position(m.g, p)
		if m.s.b.chance(30) { // it has expired, or an operator has reset it
			group[p] = m.s.rng.Int64N(group[p]+2) - 1
			m.s.stats["lost offsets"]++
		}
	}
	err := m.p.Assign(context.Background(), fresh)
	m.s.restored = m.s.now
	m.s.stats["restores"]++
	if err != nil {
		m.unrestored(fresh)
	}
	for _, p := range fresh {
		if err == nil {
			m.restoredInHold(p)
			m.owned[p] = true
			err = m.begin(p, group[p])
		}
	}
	switch err {
	case nil:
	case errRestore:
		m.s.stats["failed restores"]++
		m.restart()
	default:
		m.s.fault("%s: cannot restore: %v", m.g.topic, err)
	}
}

// restoredInHold records whether a partition is restored during a hold.
func (m *simMember) restoredInHold(p int32) {
	if c, counts := m.p.(*counter); counts && c.tasks[p].progress.Holding() {
		m.s.stats["restores in a hold"]++
	}
}

// begin is that of kafka.Transact.
func (m *simMember) begin(p int32, group int64) error {
	l := m.s.b.logs[m.g.topic][p]
	t := kafka.Transact{Topic: m.g.topic, Group: "simulated", State: m.s.p.Topics.Dedup}
	end := int64(len(l.entries))
	if m.s.b.wrong == cutEvents && m.g == m.s.count && m.s.b.chance(4) {
		end = m.s.rng.Int64N(end + 1)
	}
	at, expired, err := t.Begin(m.p, p, kafka.Position{Offset: group, Epoch: -1}, int64(l.start), end)
	if err != nil {
		return err
	}
	if expired {
		if m.s.stats["expired unread"]++; m.s.b.wrong != expireInSilence {
			m.p.(kafka.Stateful).Expired(p, at.Offset, int64(l.start))
		}
		at = kafka.Position{Offset: int64(l.start), Epoch: -1}
	}
	m.p.(kafka.Stateful).Starts(p, int64(l.start))
	m.next[p], m.cut[p] = at.Offset, l.start > 0
	return nil
}

// restart ends a session with an error: a new one begins, as another member.
func (m *simMember) restart() {
	m.p.Committed(false)
	m.leave()
	m.s.adopt(m.g)
}

// leave drops everything, like after the last transaction, and rejoins as a new member.
func (m *simMember) leave() {
	m.p.Revoke(m.all())
	m.s.hand(m)
	clear(m.owned)
	clear(m.next)
	m.changes, m.txn, m.n, m.failed, m.in, m.deaf, m.more, m.looks = nil, nil, 0, false, true, false, false, nil
}

// all returns the partitions that the member believes it owns.
func (m *simMember) all() (list []int32) {
	for p := range m.g.owner {
		if m.owned[int32(p)] {
			list = append(list, int32(p))
		}
	}
	return list
}

// poll lets the member process up to most records of one partition.
func (m *simMember) poll(most int) {
	m.ownership()
	all := m.all()
	if len(all) == 0 || m.more {
		return
	}
	p, b := all[m.s.rng.IntN(len(all))], m.s.b
	l := b.logs[m.g.topic][p]
	if m.next[p] < int64(l.start) { // an offset out of range ends the session
		m.restart()
		return
	}
	for end := int64(b.limit(l)); most > 0 && m.next[p] < end; m.next[p]++ {
		r := b.fetch(l, int(m.next[p]))
		if r == nil || m.s.loses() {
			continue
		}
		most--
		m.n++
		lent := m.s.lend(r)
		m.look(r)
		if err := m.p.Process(lent); err != nil {
			m.s.fault("%v", err)
			return
		}
		for i := range lent.Value { // like reused memory
			lent.Value[i] = '#'
		}
	}
}

// flush writes the member's output, uncommitted. It first sees pending changes, except
// those of the last moment.
func (m *simMember) flush() {
	if !m.failed {
		m.ownership()
	}
	if m.n == 0 && !m.in && m.s.b.wrong != noOffsets && !m.s.b.chance(3) {
		return // it asks the group, which does not know it; or it has asked before
	}
	s := m.s
	now := s.now
	if s.b.chance(10) { // suspended between reading the clock and measuring the lag
		s.pass(s.rng.Int64N(int64(5 * time.Second)))
	}
	m.lag()
	var out []*kgo.Record
	var err error
	next := map[int32]kafka.Position{}
	for _, p := range m.all() {
		next[p] = kafka.Position{Offset: m.next[p], Epoch: -1}
	}
	m.p.(kafka.Stateful).Read(next, m.n > 0)
	if m.more, err = m.p.Output(time.Unix(0, now), func(r *kgo.Record) { out = append(out, r) }); err != nil {
		s.fault("%v", err)
	}
	if m.n == 0 && len(out) == 0 {
		m.p.Committed(true)
		return
	}
	m.txn = s.b.begin()
	m.txn.looks, m.looks = m.looks, nil
	m.txn.group, m.txn.offsets, m.txn.notes = m.g, map[int32]int64{}, map[int32]string{}
	for p, at := range next {
		m.txn.offsets[p] = at.Offset
		if c, counts := m.p.(*counter); counts {
			m.txn.notes[p] = c.note(p)
		}
	}
	if s.b.wrong == noOffsets && m.n == 0 {
		clear(m.txn.offsets)
	}
	out = s.inOrder(out)
	if s.b.chance(40) { // one of them is refused
		for _, r := range out[:s.rng.IntN(len(out)+1)] {
			s.b.write(r, m.txn)
		}
		s.b.decide(m.txn, false)
		m.restart()
		return
	}
	for _, r := range out {
		s.b.write(r, m.txn)
	}
}

// lag passes the true lag to the member, at most once a second.
func (m *simMember) lag() {
	if m.s.now < m.asked+int64(time.Second) || len(m.owned) == 0 {
		return
	}
	m.asked = m.s.now
	behind := map[int32]int64{}
	for _, p := range m.all() {
		behind[p] = max(0, int64(len(m.s.b.logs[m.g.topic][p].entries))-m.next[p])
		if m.s.b.wrong == lieAboutLag {
			behind[p] = 0
		} else if !m.s.draining && m.s.b.chance(20) {
			behind[p] = kafka.UnknownLag
		}
	}
	if c, counts := m.p.(*counter); counts {
		c.saw(m.seen(behind))
	}
	m.p.Lag(behind)
}

// seen is the brokers' view of the whole topic, at the time of the lag.
func (m *simMember) seen(behind map[int32]int64) kafka.Seen {
	b := m.s.b
	seen := kafka.Seen{Ends: map[int32]int64{}, Notes: map[int32]string{}}
	for p, l := range b.logs[m.g.topic] {
		if behind[int32(p)] != kafka.UnknownLag {
			seen.Ends[int32(p)] = int64(len(l.entries))
		}
		if b.wrong == lieAboutLag {
			seen.Ends[int32(p)] = 0
		}
	}
	if !b.chance(20) || m.s.draining {
		maps.Copy(seen.Notes, m.g.notes)
	}
	return seen
}

// end advances the transaction one step: the group accepts its offsets, or it is decided.
func (m *simMember) end() {
	b := m.s.b
	// The group identifies the member by its committed offsets.
	stands := !m.failed && (m.in || len(m.txn.offsets) == 0) || b.wrong == noFence
	switch m.txn.state {
	case txnOpen:
		if stands {
			m.txn.state = txnAccepted
			return
		}
		b.decide(m.txn, false)
	case txnAccepted:
		b.decide(m.txn, stands || b.chance(2))
	}
	committed := m.txn.state == txnCommitted
	if !b.chance(2) { // else the markers come later, one by one
		b.markAll(m.txn)
	}
	if b.chance(40) { // the outcome is unknown
		m.restart()
		return
	}
	m.txn, m.n, m.failed = nil, 0, false
	m.p.Committed(committed)
	if committed {
		m.s.stats["commits"]++
		return
	}
	m.s.stats["aborts"]++
	m.again()
}

// again is that of kafka.Transact: state goes back to the last commit.
func (m *simMember) again() {
	if m.deaf && m.s.b.chance(2) { // else it continues with what it believes it owns
		m.wake()
	}
	m.ownership()
	all := m.all()
	m.p.Revoke(all)
	clear(m.next)
	m.more = false
	var back []simChange
	for _, p := range all {
		back = append(back, simChange{true, p})
	}
	m.changes = append(back, m.changes...)
}

// wake lets a deaf member learn that it has lost everything.
func (m *simMember) wake() {
	for p := range m.g.owner {
		m.changes = append(m.changes, simChange{false, int32(p)})
	}
	m.in, m.deaf, m.failed = true, false, true
	m.s.adopt(m.g)
}

// step performs the member's next action.
func (m *simMember) step() {
	switch rng := m.s.rng; {
	case m.txn != nil:
		m.end()
	case rng.IntN(3) > 0 && !(m.deaf && m.s.b.wrong == noOffsets):
		m.poll(1 + rng.IntN(m.s.most(12, 6)))
	default:
		m.flush()
		for m.txn != nil && rng.IntN(6) > 0 { // mostly at once
			m.end()
		}
	}
}

func (m *simMember) String() string {
	return fmt.Sprintf("%s in %v deaf %v owned %v next %v of %v", m.g.topic, m.in, m.deaf, m.all(), m.next, m.g.offsets)
}
