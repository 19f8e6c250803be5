package socket

import "golang.org/x/sys/unix"

// userBehind returns the effective user ID at the other end of a socket.
func userBehind(fd int) (int, error) {
	peer, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(peer.Uid), nil
}
