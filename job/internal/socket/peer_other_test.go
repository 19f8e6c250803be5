//go:build !linux && !darwin

package socket

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServe_UnknownPeer(t *testing.T) {
	_, err := Serve(t.TempDir(), nil, nil, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "run the job on Linux or macOS, or without the socket")
}
