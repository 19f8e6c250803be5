//go:build !unix || aix

package job

import (
	"io"
	"log/slog"
	"os"
)

// lockDir returns nil: nothing is swept, so no lock is needed.
func lockDir(*os.Root, string) (io.Closer, error) { return nil, nil }

// sweep does nothing: this package has no locks for these systems, without which it
// cannot tell the directories of running runners from those of killed ones.
func sweep(*slog.Logger) {}
