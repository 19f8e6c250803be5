package gcpkms_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
)

func TestErrors_Codes(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
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
		// Unknown codes and codes that are not from the service.
		{codes.Unknown, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Canceled, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.DataLoss, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.Unimplemented, keyring.ErrUnavailable, keyring.ErrUnavailable, 1},
		{codes.OutOfRange, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.AlreadyExists, keyring.ErrDenied, keyring.ErrDenied, 1},
		{codes.Code(99), keyring.ErrDenied, keyring.ErrDenied, 1},
	} {
		ends := ": " + row.code.String()
		if row.code == codes.Unavailable {
			ends += "; if this persists, check the client's endpoint and network"
		}
		faults = append(faults, kmstest.Fault{
			Name: row.code.String(), Set: func() { kek.server.Break(gcpkmsserver.Refuse(row.code)) },
			Wrap: row.wrap, Unwrap: row.unwrap, Calls: row.calls, Ends: ends,
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

func TestErrors_VersionState(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for _, state := range []kmspb.CryptoKeyVersion_CryptoKeyVersionState{
		kmspb.CryptoKeyVersion_DISABLED, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, kmspb.CryptoKeyVersion_DESTROYED,
	} {
		faults = append(faults, kmstest.Fault{
			Name: state.String(), Set: func() { kek.server.SetState(kek.name, 1, state) },
			Wrap: keyring.ErrKeyState, Unwrap: keyring.ErrKeyState, Calls: 1,
		})
	}
	w := kmstest.RunFaults(t, kek, faults...)
	kek.server.SetState(kek.name, 1, kmspb.CryptoKeyVersion_ENABLED)
	kmstest.RequireUnwraps(t, kek, w)
}

func TestErrors_MissingKey(t *testing.T) {
	server := gcpkmsserver.New(t)
	const name = "projects/acme/locations/global/keyRings/satchel/cryptoKeys/missing"
	kek, err := gcpkms.New(server.Client(t), name)
	require.NoError(t, err)
	missing := testKEK{kek, server, name}
	kmstest.RequireWrapFails(t, missing, keyring.ErrNoKey)
	require.Equal(t, 1, missing.Calls())
}

// A response without valid checksums is requested three times.
func TestErrors_DamagedResponse(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
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
		faults = append(faults, kmstest.Fault{
			Name: "Encrypt with " + name, Wrap: keyring.ErrUnavailable, Calls: 3,
			Set: func() {
				kek.server.Break(gcpkmsserver.Edit(func(e *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) { edit(e) }))
			},
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
		faults = append(faults, kmstest.Fault{
			Name: "Decrypt with " + name, Unwrap: keyring.ErrUnavailable, Calls: 3,
			Set: func() {
				kek.server.Break(gcpkmsserver.Edit(func(_ *kmspb.EncryptResponse, d *kmspb.DecryptResponse) { edit(d) }))
			},
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

// A request that arrives damaged is sent three times.
func TestErrors_DamagedRequest(t *testing.T) {
	kek := newTestKEK(t)
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
		kek.server.Break(nil)
		w := kmstest.RunFaults(t, kek, kek.both(name, gcpkmsserver.Damage(damage), keyring.ErrUnavailable, 3))
		kek.server.Break(gcpkmsserver.Times(2, gcpkmsserver.Damage(damage)))
		kmstest.RequireUnwraps(t, kek, w)
	}
}

// A lost checksum of a request is detected.
func TestErrors_LostChecksum(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for name, lose := range map[string]func(*kmspb.EncryptRequest, *kmspb.DecryptRequest){
		"the data key": func(e *kmspb.EncryptRequest, _ *kmspb.DecryptRequest) { e.PlaintextCrc32C = nil },
		"the context":  func(e *kmspb.EncryptRequest, _ *kmspb.DecryptRequest) { e.AdditionalAuthenticatedDataCrc32C = nil },
	} {
		faults = append(faults, kmstest.Fault{
			Name: name, Set: func() { kek.server.Break(gcpkmsserver.Damage(lose)) }, Wrap: keyring.ErrUnavailable, Calls: 3,
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

// The result of the third attempt counts.
func TestErrors_ThirdAttempt(t *testing.T) {
	kek := newTestKEK(t)
	w := kmstest.Wrap(t, kek)
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
		kmstest.RequireUnwraps(t, kek, w)
		kek.server.Break(gcpkmsserver.Times(2, fault))
		_, err := kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
		require.NoError(t, err, "%s that recovers at the third attempt", name)
	}
}

// Attempts for different reasons are counted together.
func TestErrors_MixedAttempts(t *testing.T) {
	kek := newTestKEK(t)
	w := kmstest.Wrap(t, kek)
	noChecksum := gcpkmsserver.Edit(func(_ *kmspb.EncryptResponse, d *kmspb.DecryptResponse) { d.PlaintextCrc32C = nil })
	turn := 0
	kek.server.Break(func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		turn++
		if turn%2 == 1 {
			return gcpkmsserver.Refuse(codes.Unavailable)(ctx, request, next)
		}
		return noChecksum(ctx, request, next)
	})
	kek.Calls()
	kmstest.RequireUnwrapFails(t, kek, w, keyring.ErrUnavailable)
	require.Equal(t, 3, kek.Calls())
}

func TestErrors_InvalidResponse(t *testing.T) {
	kek := newTestKEK(t)
	w := kmstest.RunFaults(t, kek,
		kek.both("bytes that are not a response", gcpkmsserver.Garble, keyring.ErrUnavailable, 1),
		kek.both("a closed connection", kek.server.Cut, keyring.ErrUnavailable, 3))
	kek.server.Break(nil)
	kmstest.RequireUnwraps(t, kek, w)
}

// The client derives a code from the HTTP status of a response that is not gRPC's.
func TestErrors_Gateway(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403, 404, 407, 412, 429, 451, 500, 502, 503} {
		for name, kind := range map[string]string{"a page": "text/html", "no type": "", "JSON": "application/json"} {
			t.Run(fmt.Sprintf("%s with status %d", name, status), func(t *testing.T) {
				kek := gatewayKEK(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Type"] = []string{kind}
					w.WriteHeader(status)
					_, _ = io.WriteString(w, "<html>canary")
				})
				_, err := kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
				kmstest.RequireClass(t, err, keyring.ErrUnavailable)
				require.NotContains(t, err.Error(), "canary")
				_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: []byte("x")}, kmstest.Tenant)
				kmstest.RequireClass(t, err, keyring.ErrUnavailable)
			})
		}
	}

	t.Run("a refusal of another gRPC server", func(t *testing.T) {
		kek := gatewayKEK(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", fmt.Sprint(uint32(codes.Unimplemented)))
		})
		_, err := kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
	})

	t.Run("a refusal in the header alone counts", func(t *testing.T) {
		kek := gatewayKEK(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", fmt.Sprint(uint32(codes.PermissionDenied)))
		})
		_, err := kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
		kmstest.RequireClass(t, err, keyring.ErrDenied)
	})
}

// gatewayKEK returns the KEK of a server that speaks HTTP/2, and not gRPC unless
// respond does.
func gatewayKEK(t *testing.T, respond http.HandlerFunc, options ...option.ClientOption) *gcpkms.KEK {
	t.Helper()
	server := httptest.NewUnstartedServer(respond)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	options = append([]option.ClientOption{
		option.WithEndpoint("passthrough:///" + server.Listener.Addr().String()),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithNoProxy()),
	}, options...)
	client, err := kms.NewKeyManagementClient(t.Context(), options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	kek, err := gcpkms.New(client, "projects/acme/locations/global/keyRings/satchel/cryptoKeys/kek")
	require.NoError(t, err)
	gcpkms.RemovePauses(kek)
	return kek
}

// noCredentials fails like a source of tokens that is down or behind a gateway.
type noCredentials struct{}

func (noCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("cannot fetch token: 403 canary")
}

func (noCredentials) RequireTransportSecurity() bool { return false }

func TestErrors_Credentials(t *testing.T) {
	kek := gatewayKEK(t, func(http.ResponseWriter, *http.Request) {}, option.WithGRPCDialOption(grpc.WithPerRPCCredentials(noCredentials{})))
	_, err := kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, "Unauthenticated without a response of KMS; check the client's credentials")
	require.NotContains(t, err.Error(), "canary")
}

func TestErrors_ConnectionRefused(t *testing.T) {
	client, err := kms.NewKeyManagementClient(t.Context(),
		option.WithEndpoint("passthrough:///127.0.0.1:1"),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	kek, err := gcpkms.New(client, "projects/acme/locations/global/keyRings/satchel/cryptoKeys/kek")
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, "check the client's endpoint and network")

	require.NoError(t, client.Close())
	_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
}
