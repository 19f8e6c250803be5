//go:build !linux

package postgrestest

import (
	"io"
	"os/exec"
)

// identity is the user of the server: the current one.
type identity struct{}

func identify() (identity, error) { return identity{}, nil }

func (identity) own(string) error { return nil }

func (identity) apply(*exec.Cmd) {}

// memory returns a folder for servers whose data may be in memory: none.
func memory() string { return "" }

// hold does nothing.
func hold(string) (io.Closer, error) { return io.NopCloser(nil), nil }

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
