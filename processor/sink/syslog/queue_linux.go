package syslog

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged returns how many bytes, the end of the stream included, the receiver's
// kernel has not acknowledged; -1 if that is not known.
func unacknowledged(c *net.TCPConn) (bytes int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	if err := raw.Control(func(fd uintptr) {
		if bytes, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
			bytes = -1
		}
	}); err != nil {
		return -1
	}
	return bytes
}
