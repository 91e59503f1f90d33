package keyledger

import (
	"cmp"
	"encoding/hex"
	"math/bits"
	"strings"

	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// coder writes a key's packed form, or reads it: one description serves both. A decoded
// string is the key's own. Without words the form serves frames and the changelog.
type coder struct {
	enc   *wire.Encoder // nil to read
	dec   *wire.Decoder
	words *words
	base  int64 // the time of First
}

// key codes all of a key except its name.
func (c *coder) key(k *Key) {
	c.int(&k.First)
	c.base = k.First
	c.time(&k.Last)
	c.time(&k.FirstUse)
	c.facts(k)
	items(c, &k.Aliases, func(a *Alias) {
		c.name(&a.Name)
		once, moved := a.Since == a.At, a.Moved != 0
		c.mark(&a.At, &a.Removed, &a.Tied, &once, &moved)
		if a.Since = cmp.Or(a.Since, a.At); !once {
			c.time(&a.Since)
		}
		if moved {
			c.time(&a.Moved)
		}
	})
	items(c, &k.Replicas, c.name)
	items(c, &k.Grants, c.grant)
	items(c, &k.History, func(e *Entry) {
		c.time(&e.At)
		change := uint64(e.Change)
		c.uint(&change)
		e.Change = kms.Change(change)
		c.name(&e.Detail)
		c.word(&e.By)
	})
	c.more(k)
	c.watched(&k.watched)
}

// more codes what counts the rest.
func (c *coder) more(k *Key) {
	list := [...]*Distinct{&k.MoreAliases, &k.MoreReplicas, &k.MoreGrants, &k.MoreHistory}
	var has [len(list)]bool
	for i, d := range list {
		has[i] = d.Has()
	}
	c.flags(&has[0], &has[1], &has[2], &has[3])
	for i, d := range list {
		if has[i] {
			items(c, &d.hashes, c.uint)
		}
	}
}

// watched codes what stage detect notes on a key.
func (c *coder) watched(w *watched) {
	has := len(w.raised) > 0
	n := uint64(w.published) << 2
	c.marked(&n, &w.owed, &has)
	w.published = uint32(n >> 2)
	if has {
		items(c, &w.raised, func(r *raised) {
			kind := uint64(r.kind)
			c.uint(&kind)
			r.kind = uint8(kind % uint64(len(kinds)))
			c.int(&r.since)
		})
	}
}

// facts codes the facts that are set, and the last uses.
func (c *coder) facts(k *Key) {
	var facts, uses uint64
	for i := range k.Facts {
		if k.Facts[i].At != 0 {
			facts |= 1 << i
		}
	}
	for i, at := range k.Uses {
		if at != 0 {
			uses |= 1 << i
		}
	}
	c.uint(&facts)
	for ; facts != 0; facts &= facts - 1 {
		f := &k.Facts[bits.TrailingZeros64(facts)%int(numFacts)]
		until, by := f.Until != 0, f.By != ""
		c.mark(&f.At, &f.Tied, &until, &by)
		c.word(&f.Value)
		if until {
			c.int(&f.Until)
		}
		if by {
			c.word(&f.By)
		}
	}
	c.uint(&uses)
	for ; uses != 0; uses &= uses - 1 {
		c.time(&k.Uses[bits.TrailingZeros64(uses)%int(kms.NumClasses)])
	}
}

func (c *coder) grant(g *Grant) {
	raw, err := hex.DecodeString(g.ID)
	short := err == nil && len(raw) == idBytes && hex.EncodeToString(raw) == g.ID
	opened, closed := g.Opened != 0, g.Closed != 0
	named, retiring, bound, source := g.Name != "", g.Retiring != "", g.Constraint != "", g.Source != ""
	c.flags(&short, &opened, &closed, &retiring, &bound, &g.Service, &source, &named, &g.RetiringService, &g.Revoked)
	switch {
	case !short:
		c.name(&g.ID)
	case c.enc != nil:
		c.enc.B = append(c.enc.B, raw...)
	default:
		g.ID = hex.EncodeToString(c.dec.Bytes(idBytes))
	}
	if opened {
		c.time(&g.Opened)
		c.word(&g.By)
		c.word(&g.Grantee)
		c.word(&g.Operations)
	}
	for _, f := range [...]struct {
		has  bool
		text *string
	}{{named, &g.Name}, {bound, &g.Constraint}, {source, &g.Source}} {
		if f.has {
			c.name(f.text)
		}
	}
	if retiring {
		c.word(&g.Retiring)
	}
	if closed {
		c.time(&g.Closed)
		c.word(&g.ClosedBy)
	}
}

// idBytes is the length of a grant's id, which AWS writes as 64 hexadecimal digits.
const idBytes = 32

// items codes a list.
func items[T any](c *coder, l *[]T, item func(*T)) {
	n := uint64(len(*l))
	c.uint(&n)
	if c.enc == nil {
		*l = nil
		for range n {
			if c.dec.Err() != nil {
				return
			}
			var v T
			item(&v)
			*l = append(*l, v)
		}
		return
	}
	for i := range *l {
		item(&(*l)[i])
	}
}

func (c *coder) uint(v *uint64) {
	if c.enc != nil {
		c.enc.Uint(*v)
	} else {
		*v = c.dec.Uint()
	}
}

func (c *coder) int(v *int64) {
	if c.enc != nil {
		c.enc.Int(*v)
	} else {
		*v = c.dec.Int()
	}
}

// time codes a time as its distance from the key's first event; 0 stays 0.
func (c *coder) time(v *int64) {
	n := uint64(0)
	if *v != 0 {
		n = zigzag(*v-c.base) + 1
	}
	c.uint(&n)
	if *v = 0; n != 0 {
		*v = c.base + unzigzag(n-1)
	}
}

// mark codes a time that is not 0, and flags in the same number.
func (c *coder) mark(v *int64, list ...*bool) {
	n := zigzag(*v-c.base) << len(list)
	c.marked(&n, list...)
	*v = c.base + unzigzag(n>>len(list))
}

// marked codes a number whose lowest bits are flags.
func (c *coder) marked(n *uint64, list ...*bool) {
	for i, b := range list {
		if *b {
			*n |= 1 << i
		}
	}
	c.uint(n)
	for i, b := range list {
		*b = *n>>i&1 != 0
	}
}

func zigzag(d int64) uint64   { return uint64(d)<<1 ^ uint64(d>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

func (c *coder) flags(list ...*bool) {
	v := uint64(0)
	c.marked(&v, list...)
}

// name codes a text whose beginning, up to its last slash, other texts share.
func (c *coder) name(s *string) {
	cut := strings.LastIndexByte(*s, '/') + 1
	head, tail := (*s)[:cut], (*s)[cut:]
	c.word(&head)
	if c.enc != nil {
		c.enc.Raw(tail)
		return
	}
	*s = head + c.dec.Raw()
}

// word codes a text that other keys have, too. Without words it is in the encoder's own
// dictionary, so the form means the same everywhere.
func (c *coder) word(s *string) {
	switch {
	case c.words == nil && c.enc != nil:
		c.enc.String(*s)
		return
	case c.words == nil:
		*s = c.dec.String()
		return
	}
	if c.enc == nil {
		if n := c.dec.Uint(); n > 0 {
			*s = c.words.text(n)
		} else {
			*s = c.dec.Raw()
		}
		return
	}
	n := c.words.number(*s)
	c.enc.Uint(n)
	if n == 0 {
		c.enc.Raw(*s)
	}
}

// words gives numbers to texts that many keys share: principals, operations, the beginnings
// of names. Callers choose some of them, so the words are bounded: 65,536 of at most 128
// bytes take 12 MB. Other texts are packed whole.
type words struct {
	numbers map[string]uint64
	list    []string
}

const (
	maxWords     = 65536
	maxWordBytes = 128
)

// number returns the number of a text, from 1 on, or 0 for one that has none.
func (w *words) number(s string) uint64 {
	if n, ok := w.numbers[s]; ok {
		return n
	}
	if len(s) > maxWordBytes || len(w.list) >= maxWords {
		return 0
	}
	if w.numbers == nil {
		w.numbers = map[string]uint64{}
	}
	s = strings.Clone(s)
	w.list = append(w.list, s)
	w.numbers[s] = uint64(len(w.list))
	return uint64(len(w.list))
}

// keep returns a copy of a text that outlives the caller's buffer, the same one each time if
// there is room.
func (w *words) keep(s string) string {
	if n := w.number(s); n > 0 {
		return w.list[n-1]
	}
	return strings.Clone(s)
}

func (w *words) text(n uint64) string {
	if n > uint64(len(w.list)) {
		return ""
	}
	return w.list[n-1]
}
