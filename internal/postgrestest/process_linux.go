package postgrestest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// identity is the user of the server, because PostgreSQL refuses to run as root.
type identity struct {
	credential *syscall.Credential // nil for the current user
}

func identify() (identity, error) {
	if os.Geteuid() != 0 {
		return identity{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return identity{}, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return identity{}, err
		}
		return identity{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return identity{}, errors.New("PostgreSQL does not run as root, and the system has no user for it; create a user postgres")
}

// own makes the user of the server the owner of a folder.
func (i identity) own(dir string) error {
	if i.credential == nil {
		return nil
	}
	return os.Chown(dir, int(i.credential.Uid), int(i.credential.Gid))
}

func (i identity) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.credential}
}

// enough is the free memory, in bytes, that a server in memory needs: for its data
// and for its WAL, which settings bound.
const enough = 1 << 30

// memory returns a folder for servers whose data may be in memory, or "" for the
// usual temporary folder: a TMPDIR that is set takes precedence. It removes what
// processes that were killed have left there.
func memory() string {
	const folder = "/dev/shm"
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(folder, &fs) != nil || fs.Type != tmpfs || fs.Bavail*uint64(fs.Bsize) < enough {
		return ""
	}
	left, _ := filepath.Glob(filepath.Join(folder, prefix+"*"))
	for _, dir := range left {
		if lock, err := os.Open(filepath.Join(dir, "lock")); err == nil {
			if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				_ = os.RemoveAll(dir)
			}
			_ = lock.Close()
		}
	}
	return folder
}

const tmpfs = 0x01021994 // of statfs(2)

// hold marks dir as in use until this process ends.
func hold(dir string) (io.Closer, error) {
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return lock, nil
}

// launch starts a process that the kernel ends with this one, even if this one is
// killed.
func launch(cmd *exec.Cmd) (*child, error) {
	c := &child{over: make(chan struct{})}
	started := make(chan error)
	cmd.SysProcAttr.Pdeathsig = immediate
	go func() {
		defer close(c.over)
		runtime.LockOSThread() // the kernel watches the thread that started the process
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}
