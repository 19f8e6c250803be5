package keyring_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func TestDataKey_MAC(t *testing.T) {
	t.Run("rejects a reserved label and one outside the limits", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		defer key.Destroy()
		for _, label := range []string{"", "skm/", "skm/v1 message key", "skr/v1 record mac", strings.Repeat("l", 65), "a\x00b", "tab\t", "\x7f", "é"} {
			got, err := key.MAC(label, []byte("data"))
			require.ErrorIs(t, err, keyring.ErrMalformed, "%q", label)
			require.Zero(t, got)
		}
		for _, label := range []string{"skt/v1 token", "sk", "SKM/", " ", strings.Repeat("l", 64)} {
			_, err := key.MAC(label)
			require.NoError(t, err, "%q", label)
		}
	})

	t.Run("depends on key, label and data", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		seen := map[[32]byte]string{}
		for range 2 {
			key, _, err := keys.NewKey(t.Context(), acme)
			require.NoError(t, err)
			defer key.Destroy()
			for _, label := range []string{"a", "b"} {
				for _, data := range []string{"", "data"} {
					sum, err := key.MAC(label, []byte(data))
					require.NoError(t, err)
					require.NotContains(t, seen, sum)
					seen[sum] = label + data
					again, err := key.MAC(label, []byte(data))
					require.NoError(t, err)
					require.Equal(t, sum, again, "the same input gives the same MAC")
				}
			}
		}
	})
}

func TestDataKey_Destroy(t *testing.T) {
	t.Run("ends the handle and its groups", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		id := key.ID()
		group, err := key.Group(web)
		require.NoError(t, err)
		message := seal(t, group, "a secret", apiKey7)

		key.Destroy()
		key.Destroy()
		_, err = key.Group(web)
		require.ErrorIs(t, err, keyring.ErrKeyState)
		_, err = key.MAC("label")
		require.ErrorIs(t, err, keyring.ErrKeyState)
		got, err := group.Open(nil, message, apiKey7)
		require.ErrorIs(t, err, keyring.ErrKeyState, "a group ends with its handle")
		require.Nil(t, got)
		got, err = group.Seal(nil, nil, apiKey7)
		require.ErrorIs(t, err, keyring.ErrKeyState)
		require.Nil(t, got)
		require.Equal(t, id, key.ID(), "the ID is not secret")
	})

	t.Run("leaves other handles alone", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		rec := newRecord(t, keys, acme)
		first, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		second, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		first.Destroy()
		first.Destroy()
		_, err = second.MAC("label")
		require.NoError(t, err, "Destroy does not affect other handles")
		second.Destroy()
		require.NoError(t, open(t, keys, rec, acme), "Destroy does not affect the cache")
	})

	t.Run("clears an evicted key with its last handle", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), &keyring.Options{CacheEntries: 1})
		rec, pushes := newRecord(t, keys, acme), newRecord(t, keys, other)
		first, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		second, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		bytesOfKey := keyring.KeyBytes(first)
		zero := make([]byte, 32)

		first.Destroy()
		require.NoError(t, open(t, keys, pushes, other), "the cache, limited to one entry, drops the key")
		require.NotEqual(t, zero, bytesOfKey, "one handle remains")
		_, err = second.MAC("label")
		require.NoError(t, err, "an evicted key works while it has a handle")
		second.Destroy()
		require.Equal(t, zero, bytesOfKey, "the last handle clears it")
	})

	t.Run("leaves the key to the cache, which clears it on eviction", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), &keyring.Options{CacheEntries: 1})
		rec, pushes := newRecord(t, keys, acme), newRecord(t, keys, other)
		key, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		bytesOfKey := keyring.KeyBytes(key)
		key.Destroy()
		require.NotEqual(t, make([]byte, 32), bytesOfKey, "the cache keeps it")
		require.NoError(t, open(t, keys, pushes, other))
		require.Equal(t, make([]byte, 32), bytesOfKey, "eviction clears it")
	})

	t.Run("clears a new key", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		bytesOfKey := keyring.KeyBytes(key)
		key.Destroy()
		require.Equal(t, make([]byte, 32), bytesOfKey)
	})
}

func TestDataKey_Clone(t *testing.T) {
	t.Run("works after the original is destroyed", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		bytesOfKey := keyring.KeyBytes(key)
		want, err := key.MAC("label")
		require.NoError(t, err)
		clone, err := key.Clone()
		require.NoError(t, err)
		require.Equal(t, key.ID(), clone.ID())

		key.Destroy()
		_, err = key.Clone()
		require.ErrorIs(t, err, keyring.ErrKeyState, "a destroyed handle cannot be cloned")
		got, err := clone.MAC("label")
		require.NoError(t, err, "the clone still works")
		require.Equal(t, want, got)
		clone.Destroy()
		require.Equal(t, make([]byte, 32), bytesOfKey, "the last handle clears the key")
	})

	t.Run("works or fails while the original is destroyed", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		for range 100 {
			key, _, err := keys.NewKey(t.Context(), acme)
			require.NoError(t, err)
			bytesOfKey := keyring.KeyBytes(key)
			var callers sync.WaitGroup
			for range 4 {
				callers.Go(func() {
					clone, err := key.Clone()
					if err != nil {
						return // after Destroy
					}
					defer clone.Destroy()
					if _, err := clone.MAC("label"); err != nil {
						t.Errorf("a clone does not work: %v", err)
					}
				})
			}
			callers.Go(key.Destroy)
			callers.Wait()
			require.Equal(t, make([]byte, 32), bytesOfKey)
		}
	})
}

func TestDataKey_Group(t *testing.T) {
	t.Run("keeps a bounded number of groups", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		defer key.Destroy()
		group, err := key.Group(web)
		require.NoError(t, err)
		message := seal(t, group, "a secret", apiKey7)
		for i := range 3 * keyring.MaxGroups {
			_, err := key.Group(keyring.Context{"scope": fmt.Sprint(i)})
			require.NoError(t, err)
		}
		require.Equal(t, keyring.MaxGroups, keyring.Groups(key))
		for _, open := range []func() (*keyring.Group, error){
			func() (*keyring.Group, error) { return group, nil },
			func() (*keyring.Group, error) { return key.Group(web) },
		} {
			group, err := open()
			require.NoError(t, err)
			got, err := group.Open(nil, message, apiKey7)
			require.NoError(t, err, "an evicted group works, and is derived again")
			require.Equal(t, "a secret", string(got))
		}
	})
}

func TestDataKey_Concurrent(t *testing.T) {
	t.Run("many callers and Destroy", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, _, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() {
				for j := range 50 {
					group, err := key.Group(keyring.Context{"scope": fmt.Sprint(i, j)})
					if err == nil {
						_, err = group.Seal(nil, []byte("a secret"), apiKey7)
					}
					_, macErr := key.MAC("label")
					for _, err := range []error{err, macErr} {
						if err != nil && !errors.Is(err, keyring.ErrKeyState) {
							t.Errorf("a handle works or reports ErrKeyState, got: %v", err)
						}
					}
				}
				key.Destroy()
			})
		}
		callers.Wait()
	})
}

// Printing by reflection shows no key: neither the data key, nor a derived key, nor
// the KEK.
func TestDataKey_Print(t *testing.T) { synctest.Test(t, testKeysDoNotPrint) }

func testKeysDoNotPrint(t *testing.T) {
	kek := newLocal(t, "kek", 0xa7)
	keys := newKeyring(t, kek, nil)
	key, err := keys.OpenKey(t.Context(), newRecord(t, keys, acme), acme)
	require.NoError(t, err)
	defer key.Destroy()
	synctest.Wait() // reflection takes no lock
	group, err := key.Group(web)
	require.NoError(t, err)
	digest := sha256.Sum256(canonical(web))
	okm := expand(t, keyring.KeyBytes(key), "skm/v1 message key\x00"+string(digest[:]), 64)

	for name, secret := range map[string][]byte{
		"KEK": bytes.Repeat([]byte{0xa7}, 32), "data key": keyring.KeyBytes(key), "message key": okm[:32],
	} {
		for _, v := range []any{kek, *kek, key, group, *group, keys, struct{ k any }{key}, struct{ g *keyring.Group }{group}} {
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("printed", "v", v)
			encoded, _ := json.Marshal(v)
			printed := strings.Join([]string{
				fmt.Sprintf("%v %+v %#v %s %x %d", v, v, v, v, v, v), diff(v), log.String(), string(encoded),
			}, "\n")
			requireHidden(t, printed, secret[:8], name)
		}
	}
}

// diff returns testify's message for a value that is not empty, which follows every
// pointer.
func diff(v any) string {
	var out failure
	empty := reflect.Zero(reflect.TypeOf(v))
	if empty.Kind() == reflect.Pointer {
		empty = reflect.New(empty.Type().Elem())
	}
	assert.Equal(&out, empty.Interface(), v)
	return string(out)
}

// A failure records the message of an assertion.
type failure string

func (f *failure) Errorf(format string, args ...any) { *f += failure(fmt.Sprintf(format, args...)) }

// requireHidden asserts that printed shows secret in no common form.
func requireHidden(t *testing.T, printed string, secret []byte, name string) {
	t.Helper()
	decimal := strings.Trim(fmt.Sprint(secret), "[]")
	goSyntax := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"), "}")
	var dump []string // as spew does: "00 01 02"
	for _, b := range secret {
		dump = append(dump, fmt.Sprintf("%02x", b))
	}
	// A key schedule begins with the key in words of 32 bits.
	little := fmt.Sprint(binary.LittleEndian.Uint32(secret))
	big := fmt.Sprint(binary.BigEndian.Uint32(secret))
	for _, form := range []string{string(secret), hex.EncodeToString(secret), decimal, goSyntax, strings.Join(dump, " "), little, big} {
		if strings.Contains(printed, form) {
			t.Errorf("the %s was printed", name)
		}
	}
}
