package gcpkms_test

import (
	"bytes"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

var (
	acme = keyring.Context{"purpose": "data-key", "tenant": "acme"}
	dek  = []byte("0123456789abcdefghijklmnopqrstuv")
)

// A testKEK is a KEK with its server, which a test or the suite can break.
type testKEK struct {
	*gcpkms.KEK
	server *gcpkmsserver.Server
	name   string
}

func newKEK(t *testing.T) testKEK {
	t.Helper()
	server := gcpkmsserver.New(t)
	return newKEKOn(t, server, "kek")
}

func newKEKOn(t *testing.T, server *gcpkmsserver.Server, id string) testKEK {
	t.Helper()
	name := server.CreateKey(id)
	kek, err := gcpkms.New(server.Client(t), name)
	require.NoError(t, err)
	return testKEK{kek, server, name}
}

// Break implements keyringtest.Breaker.
func (k testKEK) Break(class error) bool {
	k.server.Break(nil)
	k.server.SetState(k.name, 1, kmspb.CryptoKeyVersion_ENABLED)
	switch class {
	case keyring.ErrNoKey:
		k.server.Break(gcpkmsserver.Refuse(codes.NotFound))
	case keyring.ErrKeyState:
		k.server.SetState(k.name, 1, kmspb.CryptoKeyVersion_DISABLED)
	case keyring.ErrDenied:
		k.server.Break(gcpkmsserver.Refuse(codes.PermissionDenied))
	case keyring.ErrUnavailable:
		k.server.Break(gcpkmsserver.Refuse(codes.ResourceExhausted))
	}
	return true
}

// wrap wraps the test's data key with nothing wrong.
func (k testKEK) wrap(t *testing.T) keyring.WrappedKey {
	t.Helper()
	w, err := k.Wrap(t.Context(), dek, acme)
	require.NoError(t, err)
	return w
}

// calls returns how many requests have come in since the last count.
func (k testKEK) calls() int { return len(k.server.Requests()) }

// requireClass requires that err is of class and of no other.
func requireClass(t *testing.T, err, class error) {
	t.Helper()
	require.ErrorIs(t, err, class)
	for _, other := range []error{
		keyring.ErrMalformed, keyring.ErrTampered, keyring.ErrNoKey,
		keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrUnavailable,
	} {
		if other != class {
			require.NotErrorIs(t, err, other, "an error is of one class")
		}
	}
}

// requireWrap requires that Wrap fails with class after so many calls, gives
// nothing out, and names itself and the key.
func (k testKEK) requireWrap(t *testing.T, class error, calls int) {
	t.Helper()
	k.calls()
	w, err := k.Wrap(t.Context(), dek, acme)
	requireClass(t, err, class)
	require.Zero(t, w, "with an error there is no wrapped key")
	require.ErrorContains(t, err, "GCP KMS Encrypt with \""+k.name+"\"")
	require.Equal(t, calls, k.calls(), "calls of Encrypt")
}

// requireUnwrap does the same for Unwrap.
func (k testKEK) requireUnwrap(t *testing.T, w keyring.WrappedKey, class error, calls int) {
	t.Helper()
	k.calls()
	got, err := k.Unwrap(t.Context(), w, acme)
	requireClass(t, err, class)
	require.Nil(t, got, "with an error there is no key")
	require.ErrorContains(t, err, "GCP KMS Decrypt with \""+k.name+"\"")
	require.Equal(t, calls, k.calls(), "calls of Decrypt")
}

func requireOpens(t *testing.T, kek keyring.KEK, w keyring.WrappedKey) {
	t.Helper()
	got, err := kek.Unwrap(t.Context(), w, acme)
	require.NoError(t, err)
	require.True(t, bytes.Equal(dek, got), "it unwraps to the key that was wrapped")
}
