package count

import (
	"strings"

	"keytrail/schemas/wire"
)

// Network returns the hash of the network of an address: its first two bytes when it
// is one of IPv4, its first three groups (a site's /48) when it is one of IPv6; 0 when it
// is none. Cloud networks and offices move within such; a thief seldom comes from the same.
func Network(address string) uint32 {
	separator, parts := ".", 2
	if strings.Contains(address, ":") {
		separator, parts = ":", 3
	}
	end := 0
	for range parts {
		i := strings.Index(address[end:], separator)
		if i < 0 {
			return 0
		}
		end += i + 1
	}
	return uint32(wire.EntityHash(address[:end]))
}

// client returns the hash of the program in a user agent, without its version: what
// stands before the first slash, space or bracket.
func client(agent string) uint32 {
	agent = strings.TrimLeft(agent, "[ ")
	if i := strings.IndexAny(agent, "/ ;]"); i >= 0 {
		agent = agent[:i]
	}
	if agent == "" {
		return 0
	}
	return uint32(wire.EntityHash(agent))
}
