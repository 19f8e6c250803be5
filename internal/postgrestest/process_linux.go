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

const (
	memory = "/dev/shm"
	// enough is the free memory, in bytes, that a server in memory needs: for its
	// data and for its WAL, which settings bound.
	enough = 1 << 30
	tmpfs  = 0x01021994 // the type of a memory file system; see statfs(2)
)

// createFolder returns a new folder for a server, and a lock on it or nil. The folder
// is in memory if inMemory is set, TMPDIR is not, and [memory] has enough space;
// otherwise it is in the usual temporary folder.
func createFolder(inMemory bool) (string, io.Closer, error) {
	var fs syscall.Statfs_t
	if inMemory && os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &fs) == nil && fs.Type == tmpfs {
		sweep(memory)
		if syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= enough {
			if dir, lock, err := createLocked(memory); err == nil {
				return dir, lock, nil
			}
		}
	}
	dir, err := os.MkdirTemp("", prefix)
	return dir, nil, err
}

// createLocked creates a folder in parent that [sweep] leaves alone until the lock is
// closed or this process ends.
func createLocked(parent string) (string, io.Closer, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", nil, err
	}
	name := filepath.Join(dir, "lock")
	lock, err := os.Create(name + ".new")
	if err == nil {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err == nil {
			err = os.Rename(lock.Name(), name) // sweep never sees it unlocked
		}
	}
	if err != nil {
		_ = lock.Close() // may be nil
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, lock, nil
}

// sweep removes the folders that processes of this user left in parent when they were
// killed. Any user may create files in parent, so it does not trust their types.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, dir := range left {
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		var file syscall.Stat_t
		if syscall.Fstat(int(lock.Fd()), &file) == nil && int(file.Uid) == os.Geteuid() &&
			syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
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
