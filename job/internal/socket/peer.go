//go:build linux || darwin

package socket

import "net"

const peersAreKnown = true

// peerUID returns the effective user ID of the process that opened a connection.
func peerUID(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { uid, failed = userBehind(int(fd)) }); err != nil {
		return 0, err
	}
	return uid, failed
}
