package awskms_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/stretchr/testify/require"
)

const (
	region = "eu-central-1"
	keyID  = "1234abcd-12ab-34cd-56ef-1234567890ab"
	mrkID  = "mrk-1234abcd12ab34cd56ef1234567890ab"
)

var (
	acme = keyring.Context{"purpose": "data-key", "tenant": "acme"}
	dek  = []byte("0123456789abcdefghijklmnopqrstuv")
)

// A testKEK is a KEK with its server, which a test or the suite can break.
type testKEK struct {
	*awskms.KEK
	server *awskmsserver.Server
	arn    string
}

func newKEK(t *testing.T) testKEK {
	t.Helper()
	server := awskmsserver.New(t)
	arn := server.CreateKey(region, keyID)
	kek, err := awskms.New(server.Client(region), arn)
	require.NoError(t, err)
	return testKEK{kek, server, arn}
}

// Break implements keyringtest.Breaker.
func (k testKEK) Break(class error) bool {
	k.server.Break(nil)
	k.server.SetState(k.arn, awskmsserver.Enabled)
	switch class {
	case keyring.ErrNoKey:
		k.server.Break(awskmsserver.Refuse(http.StatusBadRequest, "NotFoundException"))
	case keyring.ErrKeyState:
		k.server.SetState(k.arn, awskmsserver.Disabled)
	case keyring.ErrDenied:
		k.server.Break(awskmsserver.Refuse(http.StatusBadRequest, "AccessDeniedException"))
	case keyring.ErrUnavailable:
		k.server.Break(awskmsserver.Refuse(http.StatusBadRequest, "ThrottlingException"))
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

// requireBoth requires that both operations fail with class and give nothing
// out, and that each error names its operation and the key.
func (k testKEK) requireBoth(t *testing.T, w keyring.WrappedKey, class error) {
	t.Helper()
	got, err := k.Unwrap(t.Context(), w, acme)
	requireClass(t, err, class)
	require.Nil(t, got, "with an error there is no key")
	require.ErrorContains(t, err, "AWS KMS Decrypt with \""+k.arn+"\"")
	wrapped, err := k.Wrap(t.Context(), dek, acme)
	requireClass(t, err, class)
	require.Zero(t, wrapped, "with an error there is no wrapped key")
	require.ErrorContains(t, err, "AWS KMS Encrypt with \""+k.arn+"\"")
}

func requireOpens(t *testing.T, kek keyring.KEK, w keyring.WrappedKey) {
	t.Helper()
	got, err := kek.Unwrap(t.Context(), w, acme)
	require.NoError(t, err)
	require.True(t, bytes.Equal(dek, got), "it unwraps to the key that was wrapped")
}
