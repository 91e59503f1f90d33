package ack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxPath is the longest path of a Unix socket: sun_path has 108 bytes, and one is the
// terminator.
const maxPath = 107

// CheckPath reports what is wrong with the path of a socket: it must be absolute, have
// at most 107 bytes, and lie in a directory of this user or root in which not everybody
// may write.
func CheckPath(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("an absolute path such as /run/keytrail/ack.sock")
	}
	if len(path) > maxPath {
		return fmt.Errorf("a path of at most %d bytes, as a Unix socket can have; this one has %d", maxPath, len(path))
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("a path in a directory that exists (%w)", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("a path in a directory (%q is not one)", dir)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("a path in a directory that not everybody can write to (%q has the mode %v)", dir, info.Mode())
	}
	if own := os.Geteuid(); !ours(info, own) {
		return fmt.Errorf("a path in a directory of user %d, who runs this process, or of root (%q belongs to another)",
			own, dir)
	}
	return nil
}

// ours reports whether a file belongs to this user or root.
func ours(info os.FileInfo, own int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == own)
}

// sameUser returns an error unless the other end of a connection belongs to the user
// of this process.
func sameUser(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("cannot ask for the user of the other end: %w", failed)
	}
	if own := uint32(os.Geteuid()); cred.Uid != own {
		return fmt.Errorf("the other end belongs to user %d, and this process to user %d", cred.Uid, own)
	}
	return nil
}
