package gcpkms_test

import (
	"context"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
)

// A testKEK is a KEK with its server. It implements kmstest.Service.
type testKEK struct {
	*gcpkms.KEK
	server *gcpkmsserver.Server
	name   string
}

// newTestKEK returns the KEK of a new key on a new server. It retries without a pause.
func newTestKEK(t *testing.T) testKEK {
	t.Helper()
	return newTestKEKOn(t, gcpkmsserver.New(t), "kek")
}

func newTestKEKOn(t *testing.T, server *gcpkmsserver.Server, id string) testKEK {
	t.Helper()
	name := server.CreateKey(id)
	kek, err := gcpkms.New(server.Client(t), name)
	require.NoError(t, err)
	gcpkms.RemovePauses(kek)
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

func (k testKEK) Label() string       { return "GCP KMS" }
func (k testKEK) LargeKey() int       { return 4000 }
func (k testKEK) RequestText() string { return "crc32c" }
func (k testKEK) SendsDeadline() bool { return true }
func (k testKEK) Calls() int          { return len(k.server.Requests()) }

func (k testKEK) Hang(arrived chan<- context.Context, gone chan<- struct{}) {
	k.server.Break(gcpkmsserver.Hang(arrived, gone))
}

func (k testKEK) Interrupt(f func()) {
	k.server.Break(gcpkmsserver.Edit(func(encrypt *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) {
		f()
		encrypt.Ciphertext = nil
	}))
}

func (k testKEK) Echoes(key, _ []byte) map[string]func() {
	set := make(map[string]func())
	for name, fault := range map[string]gcpkmsserver.Fault{
		"a denial that repeats the request":  gcpkmsserver.Refuse(codes.PermissionDenied),
		"a refusal that repeats the request": gcpkmsserver.Refuse(codes.InvalidArgument),
		"a failure that repeats the request": gcpkmsserver.Refuse(codes.Internal),
		"an invalid code":                    gcpkmsserver.Refuse(codes.Code(99)),
		"an invalid response":                gcpkmsserver.Garble,
		"a response for another key": gcpkmsserver.Edit(func(e *kmspb.EncryptResponse, d *kmspb.DecryptResponse) {
			if e != nil {
				e.Name = string(key)
			} else {
				d.PlaintextCrc32C = nil
			}
		}),
	} {
		set[name] = func() { k.server.Break(fault) }
	}
	return set
}

// both returns a fault in which both operations fail with class after the same number
// of calls.
func (k testKEK) both(name string, fault gcpkmsserver.Fault, class error, calls int) kmstest.Fault {
	return kmstest.Fault{Name: name, Set: func() { k.server.Break(fault) }, Wrap: class, Unwrap: class, Calls: calls}
}
