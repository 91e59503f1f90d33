package count

import (
	"strings"

	"keytrail/schemas/wire"
)

// Network returns the hash of the network of an address: of its first two bytes for IPv4, of
// its first three groups (a site's /48) for IPv6, and 0 for any other text. Addresses of
// cloud networks and offices change within such a network; a thief seldom shares it.
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

// client returns the hash of the program in a user agent, without its version: of the text
// before the first slash, space or bracket.
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
