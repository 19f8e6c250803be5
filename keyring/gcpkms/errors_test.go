package gcpkms_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestEachCodeHasItsClass(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, row := range []struct {
		code   codes.Code
		wrap   error
		unwrap error
		calls  int
	}{
		{codes.InvalidArgument, keyring.ErrMalformed, keyring.ErrTampered, 1},
		{codes.NotFound, keyring.ErrNoKey, keyring.ErrNoKey, 1},
		{codes.FailedPrecondition, keyring.ErrKeyState, keyring.ErrKeyState, 1},
		{codes.PermissionDenied, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.Unauthenticated, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.Unavailable, keyring.ErrUnavailable, keyring.ErrUnavailable, 3},
		{codes.ResourceExhausted, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.DeadlineExceeded, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Internal, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Aborted, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		// Codes that the table does not have.
		{codes.Unknown, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Canceled, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.DataLoss, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Unimplemented, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.OutOfRange, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.AlreadyExists, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.Code(99), keyring.ErrDenied, keyring.ErrDenied, 1},
	} {
		t.Run(row.code.String(), func(t *testing.T) {
			kek.server.Break(gcpkmsserver.Refuse(row.code))
			kek.requireWrap(t, row.wrap, row.calls)
			kek.requireUnwrap(t, w, row.unwrap, row.calls)
			_, err := kek.Unwrap(t.Context(), w, acme)
			says := strings.TrimSuffix(err.Error(), "; if this stays, check the client's endpoint and network")
			require.True(t, strings.HasSuffix(says, ": "+row.code.String()), "the error ends with the code, got %q", err)
		})
	}
}

func TestTheStateOfTheVersionIsTold(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, state := range []kmspb.CryptoKeyVersion_CryptoKeyVersionState{
		kmspb.CryptoKeyVersion_DISABLED, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, kmspb.CryptoKeyVersion_DESTROYED,
	} {
		kek.server.SetState(kek.name, 1, state)
		kek.requireWrap(t, keyring.ErrKeyState, 1)
		kek.requireUnwrap(t, w, keyring.ErrKeyState, 1)
	}
	kek.server.SetState(kek.name, 1, kmspb.CryptoKeyVersion_ENABLED)
	requireOpens(t, kek, w)
}

func TestAKeyThatIsNotThereIsNoKey(t *testing.T) {
	server := gcpkmsserver.New(t)
	const name = "projects/acme/locations/global/keyRings/satchel/cryptoKeys/missing"
	kek, err := gcpkms.New(server.Client(t), name)
	require.NoError(t, err)
	testKEK{kek, server, name}.requireWrap(t, keyring.ErrNoKey, 1)
}

func TestAnAnswerThatDoesNotProveItselfIsAskedForThreeTimes(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for name, edit := range map[string]func(*kmspb.EncryptResponse){
		"a changed ciphertext":      func(e *kmspb.EncryptResponse) { e.Ciphertext[30] ^= 1 },
		"no ciphertext":             func(e *kmspb.EncryptResponse) { e.Ciphertext = nil },
		"no ciphertext and its sum": func(e *kmspb.EncryptResponse) { e.Ciphertext, e.CiphertextCrc32C = nil, wrapperspb.Int64(0) },
		"a wrong checksum":          func(e *kmspb.EncryptResponse) { e.CiphertextCrc32C.Value++ },
		"no checksum":               func(e *kmspb.EncryptResponse) { e.CiphertextCrc32C = nil },
		"a zero checksum":           func(e *kmspb.EncryptResponse) { e.CiphertextCrc32C = wrapperspb.Int64(0) },
		"a plaintext not verified":  func(e *kmspb.EncryptResponse) { e.VerifiedPlaintextCrc32C = false },
		"a context not verified":    func(e *kmspb.EncryptResponse) { e.VerifiedAdditionalAuthenticatedDataCrc32C = false },
		"nothing at all":            func(e *kmspb.EncryptResponse) { e.Reset() },
		"a checksum of 64 bits":     func(e *kmspb.EncryptResponse) { e.CiphertextCrc32C.Value += 1 << 32 },
		"a negative, sign-extended": func(e *kmspb.EncryptResponse) { e.CiphertextCrc32C.Value -= 1 << 32 },
	} {
		t.Run("Encrypt with "+name, func(t *testing.T) {
			kek.server.Break(gcpkmsserver.Edit(func(e *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) { edit(e) }))
			kek.requireWrap(t, keyring.ErrUnavailable, 3)
		})
	}
	for name, edit := range map[string]func(*kmspb.DecryptResponse){
		"a changed plaintext":      func(d *kmspb.DecryptResponse) { d.Plaintext[0] ^= 1 },
		"a shorter plaintext":      func(d *kmspb.DecryptResponse) { d.Plaintext = d.Plaintext[:16] },
		"no plaintext":             func(d *kmspb.DecryptResponse) { d.Plaintext = nil },
		"no plaintext and its sum": func(d *kmspb.DecryptResponse) { d.Plaintext, d.PlaintextCrc32C = nil, wrapperspb.Int64(0) },
		"a wrong checksum":         func(d *kmspb.DecryptResponse) { d.PlaintextCrc32C.Value++ },
		"no checksum":              func(d *kmspb.DecryptResponse) { d.PlaintextCrc32C = nil },
		"nothing at all":           func(d *kmspb.DecryptResponse) { d.Reset() },
	} {
		t.Run("Decrypt with "+name, func(t *testing.T) {
			kek.server.Break(gcpkmsserver.Edit(func(_ *kmspb.EncryptResponse, d *kmspb.DecryptResponse) { edit(d) }))
			kek.requireUnwrap(t, w, keyring.ErrUnavailable, 3)
		})
	}
}

func TestARequestThatIsDamagedOnItsWayIsSentThreeTimes(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for name, damage := range map[string]func(*kmspb.EncryptRequest, *kmspb.DecryptRequest){
		"the data": func(e *kmspb.EncryptRequest, d *kmspb.DecryptRequest) {
			if e != nil {
				e.Plaintext[0] ^= 1
			} else {
				d.Ciphertext[0] ^= 1
			}
		},
		"the context": func(e *kmspb.EncryptRequest, d *kmspb.DecryptRequest) {
			if e != nil {
				e.AdditionalAuthenticatedData[5] ^= 1
			} else {
				d.AdditionalAuthenticatedData[5] ^= 1
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			kek.server.Break(gcpkmsserver.Damage(damage))
			kek.requireWrap(t, keyring.ErrUnavailable, 3)
			kek.requireUnwrap(t, w, keyring.ErrUnavailable, 3)
			kek.server.Break(gcpkmsserver.Times(2, gcpkmsserver.Damage(damage)))
			requireOpens(t, kek, w)
		})
	}
}

func TestAChecksumOfTheRequestThatIsLostIsNoticed(t *testing.T) {
	kek := newKEK(t)
	for _, lose := range []func(*kmspb.EncryptRequest, *kmspb.DecryptRequest){
		func(e *kmspb.EncryptRequest, _ *kmspb.DecryptRequest) { e.PlaintextCrc32C = nil },
		func(e *kmspb.EncryptRequest, _ *kmspb.DecryptRequest) { e.AdditionalAuthenticatedDataCrc32C = nil },
	} {
		kek.server.Break(gcpkmsserver.Damage(lose))
		kek.requireWrap(t, keyring.ErrUnavailable, 3)
	}
}

func TestTheThirdTryCounts(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	noChecksum := gcpkmsserver.Edit(func(e *kmspb.EncryptResponse, d *kmspb.DecryptResponse) {
		if e != nil {
			e.CiphertextCrc32C = nil
		} else {
			d.PlaintextCrc32C = nil
		}
	})
	for name, fault := range map[string]gcpkmsserver.Fault{
		"a checksum":   noChecksum,
		"a connection": kek.server.Cut,
		"a service":    gcpkmsserver.Refuse(codes.Unavailable),
	} {
		kek.server.Break(gcpkmsserver.Times(2, fault))
		requireOpens(t, kek, w)
		kek.server.Break(gcpkmsserver.Times(2, fault))
		_, err := kek.Wrap(t.Context(), dek, acme)
		require.NoError(t, err, "%s that comes back at the third try is good", name)
	}
}

func TestTriesAreCountedTogether(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	noChecksum := gcpkmsserver.Edit(func(_ *kmspb.EncryptResponse, d *kmspb.DecryptResponse) { d.PlaintextCrc32C = nil })
	turn := 0
	kek.server.Break(func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		turn++
		if turn%2 == 1 {
			return gcpkmsserver.Refuse(codes.Unavailable)(ctx, request, next)
		}
		return noChecksum(ctx, request, next)
	})
	kek.requireUnwrap(t, w, keyring.ErrUnavailable, 3)
}

func TestWhatIsNotTheServicesAnswerIsUnavailable(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	kek.server.Break(gcpkmsserver.Garble)
	kek.requireWrap(t, keyring.ErrUnavailable, 1)
	kek.requireUnwrap(t, w, keyring.ErrUnavailable, 1)
	kek.server.Break(kek.server.Cut)
	kek.requireWrap(t, keyring.ErrUnavailable, 3)
	kek.requireUnwrap(t, w, keyring.ErrUnavailable, 3)
	kek.server.Break(nil)
	requireOpens(t, kek, w)
}

func TestAServiceThatIsNotThereIsUnavailable(t *testing.T) {
	client, err := kms.NewKeyManagementClient(t.Context(),
		option.WithEndpoint("passthrough:///127.0.0.1:1"),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	kek, err := gcpkms.New(client, "projects/acme/locations/global/keyRings/satchel/cryptoKeys/kek")
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), dek, acme)
	requireClass(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, "check the client's endpoint and network")

	require.NoError(t, client.Close())
	_, err = kek.Wrap(t.Context(), dek, acme)
	requireClass(t, err, keyring.ErrUnavailable)
}

func TestNoErrorHoldsAKeyOrABlobOrWhatTheServerSaid(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for name, fault := range map[string]gcpkmsserver.Fault{
		"a denial that repeats the request":  gcpkmsserver.Refuse(codes.PermissionDenied),
		"a refusal that repeats the request": gcpkmsserver.Refuse(codes.InvalidArgument),
		"a failure that repeats the request": gcpkmsserver.Refuse(codes.Internal),
		"a code that is none":                gcpkmsserver.Refuse(codes.Code(99)),
		"an answer that cannot be read":      gcpkmsserver.Garble,
		"an answer of another key": gcpkmsserver.Edit(func(e *kmspb.EncryptResponse, d *kmspb.DecryptResponse) {
			if e != nil {
				e.Name = string(dek)
			} else {
				d.PlaintextCrc32C = nil
			}
		}),
	} {
		kek.server.Break(fault)
		_, wrapErr := kek.Wrap(t.Context(), dek, acme)
		_, unwrapErr := kek.Unwrap(t.Context(), w, acme)
		requireQuiet(t, name, wrapErr, w.Blob)
		requireQuiet(t, name, unwrapErr, w.Blob)
	}
	kek.server.Break(nil)
	_, err := kek.Unwrap(t.Context(), w, keyring.Context{"tenant": "another"})
	requireQuiet(t, "another context", err, w.Blob)
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: keyring.KEKID{Service: "fake"}, Blob: w.Blob}, acme)
	requireQuiet(t, "another KEK", err, w.Blob)
}

// requireQuiet requires that err shows neither the data key nor blob, in any
// form, nor the text that a server sent.
func requireQuiet(t *testing.T, name string, err error, blob []byte) {
	t.Helper()
	require.Error(t, err, name)
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, errors.Unwrap(err))
	for _, secret := range [][]byte{dek, dek[:16], blob, blob[len(blob)-24:]} {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret), fmt.Sprint(secret),
		} {
			require.NotContains(t, text, form, name)
		}
	}
	require.NotContains(t, text, "crc32c", "%s: an error does not repeat the request", name)
}
