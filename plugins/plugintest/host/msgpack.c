#include "host.h"

static uint64_t big_endian(const uint8_t *p, int n)
{
	uint64_t v = 0;
	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* skip passes over count values. */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end, uint64_t count, int depth)
{
	while (p != NULL && count-- > 0)
		p = msgpack_end(p, end, depth - 1);
	return p;
}

const uint8_t *msgpack_end(const uint8_t *p, const uint8_t *end, int depth)
{
	/* Of the types 0xc0 to 0xdf: the bytes of a fixed value, or of a length; and
	 * what the length counts: bytes (with one more for extensions), values or
	 * pairs. 0xc1 is no type. */
	static const struct { int8_t fixed, len, extra, values; } types[32] = {
		{0, 0, 0, 0}, {-1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0},    /* nil, -, false, true */
		{0, 1, 0, 0}, {0, 2, 0, 0}, {0, 4, 0, 0},                   /* bin */
		{0, 1, 1, 0}, {0, 2, 1, 0}, {0, 4, 1, 0},                   /* ext */
		{4, 0, 0, 0}, {8, 0, 0, 0},                                 /* float */
		{1, 0, 0, 0}, {2, 0, 0, 0}, {4, 0, 0, 0}, {8, 0, 0, 0},     /* uint */
		{1, 0, 0, 0}, {2, 0, 0, 0}, {4, 0, 0, 0}, {8, 0, 0, 0},     /* int */
		{2, 0, 0, 0}, {3, 0, 0, 0}, {5, 0, 0, 0}, {9, 0, 0, 0}, {17, 0, 0, 0}, /* fixext */
		{0, 1, 0, 0}, {0, 2, 0, 0}, {0, 4, 0, 0},                   /* str */
		{0, 2, 0, 1}, {0, 4, 0, 1},                                 /* array */
		{0, 2, 0, 2}, {0, 4, 0, 2},                                 /* map */
	};
	uint64_t n;
	uint8_t b;

	if (p >= end || depth == 0)
		return NULL;
	b = *p++;
	if (b <= 0x7f || b >= 0xe0)
		return p;
	if (b <= 0x8f)
		return skip(p, end, 2 * (b & 15), depth);
	if (b <= 0x9f)
		return skip(p, end, b & 15, depth);
	if (b <= 0xbf)
		n = b & 31;
	else {
		const int8_t fixed = types[b - 0xc0].fixed, len = types[b - 0xc0].len;
		if (fixed < 0 || end - p < len)
			return NULL;
		n = len == 0 ? (uint64_t)fixed : big_endian(p, len) + (uint64_t)types[b - 0xc0].extra;
		p += len;
		if (types[b - 0xc0].values != 0)
			return skip(p, end, n * (uint64_t)types[b - 0xc0].values, depth);
	}
	return n <= (uint64_t)(end - p) ? p + n : NULL;
}

long count_records(const uint8_t *p, size_t size)
{
	const uint8_t *const end = p + size;
	long n = 0;

	while (p < end) {
		const uint8_t *next = msgpack_end(p, end, 64), *body;
		if (next == NULL)
			fail("what the callback returned is no msgpack at byte %zu of %zu", size - (size_t)(end - p), size);
		/* [[fixext 8 of type 0, map], map] */
		if (end - p < 13 || p[0] != 0x92 || p[1] != 0x92 || p[2] != 0xd7 || p[3] != 0x00 || (p[12] & 0xf0) != 0x80)
			fail("record %ld has no header of a time and metadata", n);
		body = msgpack_end(p + 12, end, 64);
		if (body == NULL || body >= next || (*body & 0xf0) != 0x80)
			fail("record %ld has a body that is no map", n);
		p = next;
		n++;
	}
	return n;
}
