package stream

// mostPartials bounds the partials of one commit of stage count in memory: about 1 kB
// each, 150 MB in all. 20,000 calls make that many at most: two KMS keys, two pairs and a
// principal each, and two aliases that learn. Usual calls make a tenth.
const mostPartials = callPartials * 20_000

const callPartials = 7

// room returns how many records may be read next into the current commit, whatever
// commit.records allows.
func (c *counter) room() int {
	n := 0
	for _, t := range c.tasks {
		n += t.Table.Len()
	}
	return (mostPartials - n) / callPartials
}
