//go:build !linux

package postgrestest

import "os/exec"

// identity is who the server runs as: who we are.
type identity struct{}

func identify() (identity, error) { return identity{}, nil }

func (identity) own(string) error { return nil }

func (identity) apply(*exec.Cmd) {}

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
