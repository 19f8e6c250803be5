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

	// Building the index takes tens of milliseconds with thousands of secrets; a
	// program may add a secret each time it hands it out.
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
			anew := func(why string) {
				require.False(t, m == r.core().matcher(), why)
				m = r.core().matcher()
			}
			r.Add(value("ADDED", "value-added"), value("ONE", "value-one"))
			same("both were in use")
			update(r, value("ONE", "value-one"), value("ADDED", "value-added"))
			same("nothing is new, and nothing gone")
			update(r)
			same("what was added stays")
			r.Add(value("TWO", "value-two"))
			anew("what was only remembered is in use again")
			r.Add(value("OTHER", "value-one"))
			anew("another name may be shown")
			update(r, value("THREE", "value-three"))
			anew("there is a new value")
			update(r)
			anew("a value is only remembered from now on")
			time.Sleep(time.Hour)
			update(r)
			require.True(t, r.core().current.Load() == nil, "what is forgotten is in no index")
		})
	})
}
