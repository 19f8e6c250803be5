//go:build !linux

package postgrestest

import (
	"io"
	"os"
	"os/exec"
)

// identity is the user of the server: the current one.
type identity struct{}

func identify() (identity, error) { return identity{}, nil }

func (identity) own(string) error { return nil }

func (identity) apply(*exec.Cmd) {}

// createFolder returns a new folder for a server, in the usual temporary folder, and
// no lock.
func createFolder(bool) (string, io.Closer, error) {
	dir, err := os.MkdirTemp("", prefix)
	return dir, nil, err
}

// launch starts a process.
func launch(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{process: cmd.Process, over: make(chan struct{})}
	go func() {
		defer close(c.over)
		_ = cmd.Wait()
	}()
	return c, nil
}
