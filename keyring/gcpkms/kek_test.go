package gcpkms_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
)

func TestTheSuitePasses(t *testing.T) {
	server := gcpkmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		return newKEKOn(t, server, id)
	})
}

func TestOnlyAKeysNameIsTaken(t *testing.T) {
	client := gcpkmsserver.New(t).Client(t)
	const name = "projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek"
	for wrong, advice := range map[string]string{
		name + "/cryptoKeyVersions/3":       `is a version of a key; write the key alone: "` + name + `"`,
		name + "/cryptoKeyVersions/":        "is a version of a key",
		"":                                  "is no name of a key; write one such as projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
		"kek":                               "is no name of a key",
		"//cloudkms.googleapis.com/" + name: "is no name of a key",
		"gcp-kms://" + name:                 "is no name of a key",
		"/" + name:                          "is no name of a key",
		name + "/":                          "is no name of a key",
		name + "\n":                         "is no name of a key",
		"projects/acme/locations/europe-west3/keyRings/satchel":                    "is no name of a key",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/":        "is no name of a key",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/*":       "is no name of a key",
		"projects//locations/europe-west3/keyRings/satchel/cryptoKeys/kek":         "is no name of a key",
		"projects/acme/locations/europe-west3/keyRings/../satchel/cryptoKeys/kek":  "is no name of a key",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek?a=b": "is no name of a key",
	} {
		kek, err := gcpkms.New(client, wrong)
		require.ErrorContains(t, err, advice, "the error says what to write instead of %q", wrong)
		require.Nil(t, kek)
	}
	for _, right := range []string{
		name,
		"projects/example.com:acme/locations/global/keyRings/r_1/cryptoKeys/K-2",
		"projects/123456789012/locations/us/keyRings/r/cryptoKeys/k",
	} {
		kek, err := gcpkms.New(client, right)
		require.NoError(t, err)
		require.Equal(t, keyring.KEKID{Service: "gcpkms", Key: right}, kek.ID())
	}
}

func TestAClientThatCannotServeIsRefused(t *testing.T) {
	const name = "projects/acme/locations/global/keyRings/satchel/cryptoKeys/kek"
	_, err := gcpkms.New(nil, name)
	require.ErrorContains(t, err, "the client is nil; make one with kms.NewKeyManagementClient")
	rest, err := kms.NewKeyManagementRESTClient(t.Context(), option.WithoutAuthentication())
	require.NoError(t, err)
	_, err = gcpkms.New(rest, name)
	require.ErrorContains(t, err, "the client speaks REST; make one with kms.NewKeyManagementClient")
	require.NoError(t, rest.Close())
}

func TestEveryRequestNamesTheKeyAndBindsTheContext(t *testing.T) {
	kek := newKEK(t)
	requireOpens(t, kek, kek.wrap(t))
	requests := kek.server.Requests()
	require.Len(t, requests, 2, "each operation is one call")
	aad, err := acme.Encode()
	require.NoError(t, err)
	for _, r := range requests {
		r := r.(interface {
			GetName() string
			GetAdditionalAuthenticatedData() []byte
		})
		require.Equal(t, kek.name, r.GetName())
		require.Equal(t, aad, r.GetAdditionalAuthenticatedData(), "the AAD is the canonical encoding of the context")
	}
	encrypt, decrypt := requests[0].(*kmspb.EncryptRequest), requests[1].(*kmspb.DecryptRequest)
	require.NotNil(t, encrypt.PlaintextCrc32C)
	require.NotNil(t, encrypt.AdditionalAuthenticatedDataCrc32C)
	require.NotNil(t, decrypt.CiphertextCrc32C)
	require.NotNil(t, decrypt.AdditionalAuthenticatedDataCrc32C)
	// The server has compared them with the data: a wrong one is refused.
}

func TestTheVersionIsThatOfTheKeyThatWrapped(t *testing.T) {
	kek := newKEK(t)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	_, before, err := keys.NewKey(t.Context(), acme)
	require.NoError(t, err)
	_, stale := keys.Stale(before)
	require.False(t, stale)

	old := kek.wrap(t)
	kek.server.Rotate(kek.name)
	recent := kek.wrap(t)
	require.Equal(t, "1", old.Version)
	require.Equal(t, "2", recent.Version)
	requireOpens(t, kek, old)
	requireOpens(t, kek, recent)

	require.NoError(t, keys.Check(t.Context()))
	why, stale := keys.Stale(before)
	require.True(t, stale, "Check has seen the new primary version")
	require.Contains(t, why, `wrapped under version "1"`)
	after, err := keys.Rewrap(t.Context(), before, acme)
	require.NoError(t, err)
	_, stale = keys.Stale(after)
	require.False(t, stale)

	kek.server.SetState(kek.name, 1, kmspb.CryptoKeyVersion_DESTROYED)
	requireOpens(t, kek, recent)
	kek.requireUnwrap(t, old, keyring.ErrKeyState, 1)
}

func TestAnAnswerOfAnotherKeyIsRefused(t *testing.T) {
	kek := newKEK(t)
	for _, name := range []string{
		"",
		kek.name,
		kek.name + "/cryptoKeyVersions/",
		kek.name + "/cryptoKeyVersions/one",
		kek.name + "/cryptoKeyVersions/1/2",
		kek.name + "2/cryptoKeyVersions/1",
		"x" + kek.name + "/cryptoKeyVersions/1",
		"projects/other/locations/europe-west3/keyRings/satchel/cryptoKeys/kek/cryptoKeyVersions/1",
	} {
		kek.server.Break(gcpkmsserver.Edit(func(answer *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) { answer.Name = name }))
		kek.requireWrap(t, keyring.ErrTampered, 1)
	}
}

func TestWhatIsOutsideTheLimitsIsRefusedWithoutACall(t *testing.T) {
	kek := newKEK(t)
	for _, size := range []int{0, 4097} {
		_, err := kek.Wrap(t.Context(), make([]byte, size), acme)
		requireClass(t, err, keyring.ErrMalformed)
		_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: make([]byte, size)}, acme)
		requireClass(t, err, keyring.ErrMalformed)
	}
	_, err := kek.Wrap(t.Context(), dek, keyring.Context{"": "no key"})
	requireClass(t, err, keyring.ErrMalformed)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: dek}, keyring.Context{"tenant": "\xff"})
	requireClass(t, err, keyring.ErrMalformed)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: keyring.KEKID{Service: "fake", Key: kek.name}, Blob: dek}, acme)
	requireClass(t, err, keyring.ErrNoKey)
	require.Zero(t, kek.calls(), "none of these reached the service")

	largest := bytes.Repeat([]byte{7}, 4000)
	w, err := kek.Wrap(t.Context(), largest, acme)
	require.NoError(t, err)
	got, err := kek.Unwrap(t.Context(), w, acme)
	require.NoError(t, err)
	require.Equal(t, largest, got)
}

func TestACheckProvesTheKey(t *testing.T) {
	kek := newKEK(t)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	require.NoError(t, keys.Check(t.Context()))
	require.Equal(t, 3, kek.calls(), "wrap, unwrap, and unwrap under another context")
}

func TestAnEndedContextMakesNoCall(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	kek.calls()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err := kek.Unwrap(late, w, acme)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, keyring.ErrUnavailable, "the caller's own end is not the service's")
	_, err = kek.Wrap(late, dek, acme)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, kek.calls())
}

func TestTheDeadlineAndItsEndReachTheServer(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	kek.calls()
	for operation, call := range map[string]func(context.Context) error{
		"Wrap":   func(ctx context.Context) error { _, err := kek.Wrap(ctx, dek, acme); return err },
		"Unwrap": func(ctx context.Context) error { _, err := kek.Unwrap(ctx, w, acme); return err },
	} {
		arrived, gone := make(chan context.Context, 1), make(chan struct{}, 1)
		kek.server.Break(gcpkmsserver.Hang(arrived, gone))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		want, _ := ctx.Deadline()
		got, ok := (<-arrived).Deadline()
		require.True(t, ok, "the deadline travels with the request")
		require.WithinDuration(t, want, got, time.Minute)
		cancel()
		require.ErrorIs(t, <-result, context.Canceled, "%s returns with its context's error", operation)
		<-gone
		require.Equal(t, 1, kek.calls(), "a canceled call is not tried again")
	}
}

func TestTheErrorOfAnEndedContextIsItsOwn(t *testing.T) {
	kek := newKEK(t)
	ctx, cancel := context.WithCancel(t.Context())
	kek.server.Break(gcpkmsserver.Edit(func(encrypt *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) {
		cancel()
		encrypt.Ciphertext = nil
	}))
	_, err := kek.Wrap(ctx, dek, acme)
	require.ErrorIs(t, err, context.Canceled, "whatever the answer was, the caller had left")
	require.NotErrorIs(t, err, keyring.ErrUnavailable)
}
