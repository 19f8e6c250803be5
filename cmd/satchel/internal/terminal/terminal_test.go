package terminal

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIs(t *testing.T) {
	file, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer file.Close()
	require.False(t, Is(file))
	_, err = HideInput(file)
	require.Error(t, err, "a file has no echo to turn off")
}
