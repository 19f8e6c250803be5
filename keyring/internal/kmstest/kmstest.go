// Package kmstest holds the tests that the KEKs of cloud key services share, beyond
// the contract that keyringtest checks: no needless requests, classes of failures,
// the end of a context, and errors that show nothing secret.
package kmstest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

var (
	// Tenant is the context that the tests wrap under. Tests must not change it.
	Tenant = keyring.Context{"purpose": "data-key", "tenant": "acme"}
	// DataKey is the key of 32 bytes that the tests wrap. Tests must not change it.
	DataKey = []byte("0123456789abcdefghijklmnopqrstuv")
	// Classes are all classes of failure of package keyring.
	Classes = []error{
		keyring.ErrMalformed, keyring.ErrTampered, keyring.ErrNoKey,
		keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrUnavailable,
	}
)

// A Service is a KEK together with a key service on loopback, of which the KEK is
// the only user.
type Service interface {
	keyringtest.Breaker

	// Label begins every error of the KEK, such as "AWS KMS".
	Label() string
	// LargeKey is a length in bytes, near the limit of 4,096, at which a data key
	// still wraps to a blob within the limits of a record.
	LargeKey() int
	// RequestText is part of the request as the service repeats it in a refusal. No
	// error contains it.
	RequestText() string
	// SendsDeadline reports whether the deadline of a call is part of its request.
	SendsDeadline() bool

	// Calls returns the number of requests since the last call of Calls.
	Calls() int
	// Hang makes the service leave requests without a response, until Break(nil).
	// It sends the context of a request to arrived, and sends to gone after the
	// client has closed the request.
	Hang(arrived chan<- context.Context, gone chan<- struct{})
	// Interrupt makes the service run f and then send a response without content,
	// until Break(nil).
	Interrupt(f func())
	// Echoes returns faults that put key or blob, in some encoding, into responses.
	// Each starts when it is called and lasts until Break(nil).
	Echoes(key, blob []byte) map[string]func()
}

// Run runs each shared test in a subtest with a new service.
func Run(t *testing.T, newService func(t *testing.T) Service) {
	for _, r := range []struct {
		name string
		test func(t *testing.T, kek Service)
	}{
		{"input outside the limits is rejected without a request", testLimits},
		{"Check takes three requests", testCheck},
		{"an expired context makes no request", testExpired},
		{"a canceled call ends at the server too", testCanceled},
		{"a canceled call reports its context's error", testInterrupted},
		{"errors show no key, no blob and nothing that the server sent", testQuiet},
	} {
		t.Run(r.name, func(t *testing.T) { r.test(t, newService(t)) })
	}
}

// A Fault is a state of a service in which its KEK fails.
type Fault struct {
	// Name is the name of the subtest.
	Name string
	// Set puts the service into the state.
	Set func()
	// Wrap and Unwrap are the classes of the two operations. An operation with nil
	// is not called.
	Wrap, Unwrap error
	// Calls is the number of requests that each operation makes. Default: not checked.
	Calls int
	// Ends is how the error of Unwrap ends. Default: not checked.
	Ends string
}

// RunFaults checks each fault in a subtest. When it returns, the last fault is still
// set. It returns a key that was wrapped before the first.
func RunFaults(t *testing.T, kek Service, faults ...Fault) keyring.WrappedKey {
	t.Helper()
	w := Wrap(t, kek)
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			f.Set()
			if f.Unwrap != nil {
				kek.Calls()
				RequireUnwrapFails(t, kek, w, f.Unwrap)
				f.requireCalls(t, kek, "Decrypt")
			}
			if f.Wrap != nil {
				kek.Calls()
				RequireWrapFails(t, kek, f.Wrap)
				f.requireCalls(t, kek, "Encrypt")
			}
			if f.Ends != "" {
				_, err := kek.Unwrap(t.Context(), w, Tenant)
				require.Error(t, err)
				require.True(t, strings.HasSuffix(err.Error(), f.Ends), "the error ends with %q, got %q", f.Ends, err)
			}
		})
	}
	return w
}

func (f Fault) requireCalls(t *testing.T, kek Service, operation string) {
	t.Helper()
	if f.Calls > 0 {
		require.Equal(t, f.Calls, kek.Calls(), "calls of %s", operation)
	}
}

// Wrap wraps DataKey with a service that works.
func Wrap(t testing.TB, kek keyring.KEK) keyring.WrappedKey {
	t.Helper()
	w, err := kek.Wrap(t.Context(), DataKey, Tenant)
	require.NoError(t, err)
	return w
}

// RequireUnwraps requires that w unwraps to DataKey.
func RequireUnwraps(t testing.TB, kek keyring.KEK, w keyring.WrappedKey) {
	t.Helper()
	got, err := kek.Unwrap(t.Context(), w, Tenant)
	require.NoError(t, err)
	require.True(t, bytes.Equal(DataKey, got), "it unwraps to the key that was wrapped")
}

// RequireClass requires that err wraps class and no other class.
func RequireClass(t testing.TB, err, class error) {
	t.Helper()
	require.ErrorIs(t, err, class)
	for _, other := range Classes {
		if other != class {
			require.NotErrorIs(t, err, other, "an error has one class")
		}
	}
}

// RequireWrapFails requires that Wrap fails with class, returns nothing, and names
// the operation and the key.
func RequireWrapFails(t testing.TB, kek Service, class error) {
	t.Helper()
	w, err := kek.Wrap(t.Context(), DataKey, Tenant)
	RequireClass(t, err, class)
	require.Zero(t, w, "no wrapped key with an error")
	require.ErrorContains(t, err, fmt.Sprintf("%s Encrypt with %q", kek.Label(), kek.ID().Key))
}

// RequireUnwrapFails requires of Unwrap what RequireWrapFails requires of Wrap.
func RequireUnwrapFails(t testing.TB, kek Service, w keyring.WrappedKey, class error) {
	t.Helper()
	got, err := kek.Unwrap(t.Context(), w, Tenant)
	RequireClass(t, err, class)
	require.Nil(t, got, "no key with an error")
	require.ErrorContains(t, err, fmt.Sprintf("%s Decrypt with %q", kek.Label(), kek.ID().Key))
}

func testLimits(t *testing.T, kek Service) {
	for _, size := range []int{0, 4097} {
		_, err := kek.Wrap(t.Context(), make([]byte, size), Tenant)
		RequireClass(t, err, keyring.ErrMalformed)
		_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: make([]byte, size)}, Tenant)
		RequireClass(t, err, keyring.ErrMalformed)
	}
	_, err := kek.Wrap(t.Context(), DataKey, keyring.Context{"": "no key"})
	RequireClass(t, err, keyring.ErrMalformed)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: DataKey}, keyring.Context{"tenant": "\xff"})
	RequireClass(t, err, keyring.ErrMalformed)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: keyring.KEKID{Service: "fake", Key: kek.ID().Key}, Blob: DataKey}, Tenant)
	RequireClass(t, err, keyring.ErrNoKey)
	require.Zero(t, kek.Calls(), "none of these reached the service")

	largest := bytes.Repeat([]byte{7}, kek.LargeKey())
	w, err := kek.Wrap(t.Context(), largest, Tenant)
	require.NoError(t, err)
	got, err := kek.Unwrap(t.Context(), w, Tenant)
	require.NoError(t, err)
	require.Equal(t, largest, got)
}

func testCheck(t *testing.T, kek Service) {
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	require.NoError(t, keys.Check(t.Context()))
	require.Equal(t, 3, kek.Calls(), "wrap, unwrap, and unwrap under another context")
}

func testExpired(t *testing.T, kek Service) {
	w := Wrap(t, kek)
	kek.Calls()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err := kek.Unwrap(expired, w, Tenant)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, keyring.ErrUnavailable, "the deadline is the caller's, not the service's")
	_, err = kek.Wrap(expired, DataKey, Tenant)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, kek.Calls())
}

func testCanceled(t *testing.T, kek Service) {
	w := Wrap(t, kek)
	kek.Calls()
	for operation, call := range map[string]func(context.Context) error{
		"Wrap":   func(ctx context.Context) error { _, err := kek.Wrap(ctx, DataKey, Tenant); return err },
		"Unwrap": func(ctx context.Context) error { _, err := kek.Unwrap(ctx, w, Tenant); return err },
	} {
		arrived, gone := make(chan context.Context, 1), make(chan struct{}, 1)
		kek.Hang(arrived, gone)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		request := <-arrived
		if kek.SendsDeadline() {
			want, _ := ctx.Deadline()
			got, ok := request.Deadline()
			require.True(t, ok, "the deadline is part of the request")
			require.WithinDuration(t, want, got, time.Minute)
		}
		cancel()
		require.ErrorIs(t, <-result, context.Canceled, "%s returns with its context's error", operation)
		<-gone
		require.Equal(t, 1, kek.Calls(), "a canceled call is not retried")
	}
}

func testInterrupted(t *testing.T, kek Service) {
	ctx, cancel := context.WithCancel(t.Context())
	kek.Interrupt(cancel)
	_, err := kek.Wrap(ctx, DataKey, Tenant)
	require.ErrorIs(t, err, context.Canceled, "a caller that has left gets its context's error, whatever the response")
	require.NotErrorIs(t, err, keyring.ErrUnavailable)
}

func testQuiet(t *testing.T, kek Service) {
	w := Wrap(t, kek)
	for name, set := range kek.Echoes(DataKey, w.Blob) {
		set()
		_, wrapErr := kek.Wrap(t.Context(), DataKey, Tenant)
		_, unwrapErr := kek.Unwrap(t.Context(), w, Tenant)
		requireQuiet(t, kek, name, wrapErr, w.Blob)
		requireQuiet(t, kek, name, unwrapErr, w.Blob)
	}
	kek.Break(nil)
	_, err := kek.Unwrap(t.Context(), w, keyring.Context{"tenant": "another"})
	requireQuiet(t, kek, "another context", err, w.Blob)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: keyring.KEKID{Service: "fake"}, Blob: w.Blob}, Tenant)
	requireQuiet(t, kek, "another KEK", err, w.Blob)
}

// requireQuiet requires that err shows neither the data key nor blob in any
// encoding, and no text that the server sent.
func requireQuiet(t *testing.T, kek Service, name string, err error, blob []byte) {
	t.Helper()
	require.Error(t, err, name)
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, errors.Unwrap(err))
	for _, secret := range [][]byte{DataKey, DataKey[:16], blob, blob[len(blob)-24:]} {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret), fmt.Sprint(secret),
		} {
			require.NotContains(t, text, form, name)
		}
	}
	require.NotContains(t, text, kek.RequestText(), "%s: an error does not repeat the request", name)
}
