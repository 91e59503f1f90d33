package kafka

import (
	"encoding/binary"
	"slices"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lz4Blocks decompresses batches. Those that are one plain LZ4 frame, as all of the
// usual clients write them, it decompresses block by block to where the records stay;
// the client's own way goes through a reader's buffer, a second one and a copy, and
// checks a sum over what Kafka's has covered already. Whatever is different in any
// way is left to the client's. Safe for concurrent use.
//
// Source: LZ4 frame format description 1.6.
type lz4Blocks struct {
	rest   kgo.Decompressor
	growth *growth
	free   *fetched // nil when no memory is used again
}

func newLZ4Blocks() *lz4Blocks {
	return &lz4Blocks{rest: kgo.DefaultDecompressor(), growth: &growth{}}
}

// maxLZ4 bounds what is decompressed here: a batch of 1 MiB can not become more than
// 255 of it, and hardly any becomes more than 20.
const maxLZ4 = 64 << 20

// Decompress is called by the client for each batch that it fetches.
func (d *lz4Blocks) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecLz4 {
		if blocks, most, ok := lz4Frame(src); ok {
			if out, ok := d.blocks(blocks, most, len(src)); ok {
				return out, nil
			}
		}
	}
	out, err := d.rest.Decompress(src, codec)
	if err != nil {
		return nil, err
	}
	d.growth.add(len(out), len(src))
	if codec == kgo.CodecNone {
		return out, nil // no other memory than src
	}
	return d.fitting(out), nil
}

// lz4Frame looks at the frame's header and at where its blocks end, and returns the
// blocks when it is of the usual kind: blocks that stand alone, without sums of their
// own or a dictionary. most is the largest size of a block.
func lz4Frame(src []byte) (blocks []byte, most int, ok bool) {
	const magic, version, alone, blockSums, sized, sum, dictionary = 0x184d2204, 1 << 6, 1 << 5, 1 << 4, 1 << 3, 1 << 2, 1
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != magic {
		return nil, 0, false
	}
	flags, size := src[4], src[5]>>4&7
	if flags&^(sized|sum) != version|alone || size < 4 {
		return nil, 0, false
	}
	head := 7 // with the header's own sum
	if flags&sized != 0 {
		head += 8
	}
	tail := 4 // the mark of the end
	if flags&sum != 0 {
		tail += 4
	}
	at := head
	for at+tail <= len(src) {
		n := binary.LittleEndian.Uint32(src[at:])
		if n == 0 {
			return src[head:at], 1 << (8 + 2*size), at+tail == len(src)
		}
		at += 4 + int(n&^storedBlock)
	}
	return nil, 0, false
}

// storedBlock marks a block, in its length, that is not compressed.
const storedBlock = 1 << 31

// blocks decompresses all blocks into one piece of memory. How much that has to be is
// guessed by the batches before; a guess too low costs a second try, one too high a
// copy: what is fetched waits in memory, and should not take more than it needs.
func (d *lz4Blocks) blocks(blocks []byte, most, packed int) ([]byte, bool) {
	size := d.growth.guess(packed)
	for range 3 { // the library says the same of damage as of too little room
		out := d.free.buffer(min(size, maxLZ4))
		n, err := uncompress(out, blocks, most)
		if err != nil {
			d.free.done(out)
			size *= 4
			continue
		}
		d.growth.add(n, packed)
		return d.fitting(out[:n]), true
	}
	return nil, false
}

// fitting returns a batch in memory of its size, more or less: a copy where it has much
// too much. Memory that comes back may be twice as large as what was asked for.
func (d *lz4Blocks) fitting(out []byte) []byte {
	least := cap(out) - cap(out)/8
	if d.free != nil {
		least = 2 * (cap(out) / 5)
	}
	if len(out) >= least {
		return out
	}
	small := slices.Clone(out)
	d.free.done(out)
	return small
}

// uncompress returns how many bytes of dst the blocks fill.
func uncompress(dst, blocks []byte, most int) (n int, err error) {
	for len(blocks) > 0 {
		head := binary.LittleEndian.Uint32(blocks)
		block := blocks[4 : 4+head&^storedBlock]
		blocks = blocks[4+len(block):]
		var k int
		if head&storedBlock != 0 {
			if k = copy(dst[n:], block); k < len(block) {
				return n, lz4.ErrInvalidSourceShortBuffer
			}
		} else if k, err = lz4.UncompressBlock(block, dst[n:min(n+most, len(dst))]); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}
