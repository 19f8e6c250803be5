package postgrestest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// identity is who the server runs as. PostgreSQL refuses to run as root.
type identity struct {
	credential *syscall.Credential // nil for who we are
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
	return identity{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// own gives a folder to who the server runs as.
func (i identity) own(dir string) error {
	if i.credential == nil {
		return nil
	}
	return os.Chown(dir, int(i.credential.Uid), int(i.credential.Gid))
}

func (i identity) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.credential}
}

// launch starts a process that the kernel ends when this one ends, even if that
// is killed.
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
