package stream

// mostPartials bounds the partials of one commit of stage count, which wait in memory: of
// about 1 kB, some 150 MB. It is what 20,000 calls make at most: two KMS keys, two pairs and
// a principal each, and two aliases that learn. Usual calls make a tenth of that.
const mostPartials = callPartials * 20_000

const callPartials = 7

// room is how many records may be read next into the commit at hand, however many
// commit.records allows.
func (c *counter) room() int {
	n := 0
	for _, t := range c.tasks {
		n += t.Table.Len()
	}
	return (mostPartials - n) / callPartials
}
