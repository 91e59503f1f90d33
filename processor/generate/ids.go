package generate

import (
	"math/rand/v2"
	"strconv"
)

// random is a stream of random numbers. Each purpose has its own stream, so that one more
// draw from one leaves the others unchanged.
type random struct{ *rand.Rand }

// The streams of a generator; the second half of a PCG seed.
const (
	streamWorld uint64 = iota << 48
	streamAttacks
	streamHours // plus the hour's number
	streamFiles // plus a hash of the file's name
	streamChanges
	streamLive // plus the attack's number, or that of its round
)

func newRandom(seed, stream uint64) random {
	return random{rand.New(rand.NewPCG(seed, stream))}
}

// between returns a whole number in [low, high].
func (r random) between(low, high int) int { return low + r.IntN(high-low+1) }

// chance returns true with probability p.
func (r random) chance(p float64) bool { return r.Float64() < p }

// pick returns a random element of list.
func pick[T any](r random, list []T) T { return list[r.IntN(len(list))] }

// uuid is the value of an event id, a request id or a key id.
type uuid [2]uint64

// uuid returns a random version 4 UUID.
func (r random) uuid() uuid {
	return uuid{r.Uint64()&^0xf000 | 0x4000, r.Uint64()&^(3<<62) | 1<<63}
}

const (
	hexDigits    = "0123456789abcdef"
	base32Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// appendUUID appends u in its usual form, 36 characters.
func appendUUID(dst []byte, u uuid) []byte {
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[u[i/16]>>(60-4*(i%16))&15])
	}
	return dst
}

func (u uuid) String() string { return string(appendUUID(nil, u)) }

// mix spreads the bits of x (the finalizer of MurmurHash3), for derived values without
// their own stream.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// appendHex appends n hexadecimal digits derived from x.
func appendHex(dst []byte, x uint64, n int) []byte {
	for i := range n {
		if i%16 == 0 {
			x = mix(x + 0x9e3779b97f4a7c15)
		}
		dst = append(dst, hexDigits[x>>(4*(i%16))&15])
	}
	return dst
}

// appendBase32 appends n characters of the alphabet of AWS identifiers.
func appendBase32(dst []byte, x uint64, n int) []byte {
	for i := range n {
		if i%12 == 0 {
			x = mix(x + 0x9e3779b97f4a7c15)
		}
		dst = append(dst, base32Digits[x>>(5*(i%12))&31])
	}
	return dst
}

// appendPadded appends n with at least width digits.
func appendPadded(dst []byte, n, width int) []byte {
	var buf [20]byte
	digits := strconv.AppendInt(buf[:0], int64(n), 10)
	for i := len(digits); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}
