package redact

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestKeep(t *testing.T) {
	t.Run("forgotten values take no memory even if nothing is written", func(t *testing.T) {
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
	})

	// Building the index takes tens of milliseconds with thousands of secrets, and a
	// program may add a secret on each use.
	t.Run("known values do not rebuild the index", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			value := func(name, value string) bundle.Secret {
				return bundle.Secret{Name: name, Value: bundle.NewValue(value)}
			}
			update := func(r *Redactor, secrets ...bundle.Secret) {
				b, err := bundle.New(secrets, nil)
				require.NoError(t, err)
				r.Update(b)
			}
			r := NewWithOptions(&Options{KeepFor: time.Hour}, value("ADDED", "value-added"))
			update(r, value("ONE", "value-one"), value("TWO", "value-two"))
			update(r, value("ONE", "value-one"))
			m := r.core().matcher()
			same := func(why string) { require.True(t, m == r.core().matcher(), why) }
			rebuilt := func(why string) {
				require.False(t, m == r.core().matcher(), why)
				m = r.core().matcher()
			}
			r.Add(value("ADDED", "value-added"), value("ONE", "value-one"))
			same("both were in use")
			update(r, value("ONE", "value-one"), value("ADDED", "value-added"))
			same("no value is new or gone")
			update(r)
			same("added values stay")
			r.Add(value("TWO", "value-two"))
			rebuilt("a remembered value is in use again")
			r.Add(value("OTHER", "value-one"))
			rebuilt("the shown name may change")
			update(r, value("THREE", "value-three"))
			rebuilt("there is a new value")
			update(r)
			rebuilt("a value is now only remembered")
			time.Sleep(time.Hour)
			update(r)
			require.True(t, r.core().current.Load() == nil, "forgotten values are in no index")
		})
	})
}
