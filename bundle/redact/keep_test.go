package redact

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestWhatIsForgottenTakesNoMemoryEvenIfNothingIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewWithOptions(&Options{KeepFor: time.Hour})
		for i := range 1000 {
			b, err := bundle.New([]bundle.Secret{{Name: "KEY", Value: bundle.NewValue(fmt.Sprint("value-", i))}}, nil)
			require.NoError(t, err)
			r.Update(b)
			time.Sleep(time.Minute)
		}
		require.LessOrEqual(t, len(r.core().entries), 61)
		require.Len(t, r.core().byKey, len(r.core().entries))
		require.Equal(t, "[KEY] value-1", r.String("value-999 value-1"))
	})
}
