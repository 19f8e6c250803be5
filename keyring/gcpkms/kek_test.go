package gcpkms_test

import (
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"

	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

func TestNew_Suite(t *testing.T) {
	server := gcpkmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		return newTestKEKOn(t, server, id)
	})
}

func TestNew_InvalidName(t *testing.T) {
	client := gcpkmsserver.New(t).Client(t)
	const name = "projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek"
	for wrong, advice := range map[string]string{
		name + "/cryptoKeyVersions/3":       `is a key version; write the key name: "` + name + `"`,
		name + "/cryptoKeyVersions/":        "is a key version",
		"":                                  "is not a key name; write one such as projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
		"kek":                               "is not a key name",
		"//cloudkms.googleapis.com/" + name: "is not a key name",
		"gcp-kms://" + name:                 "is not a key name",
		"/" + name:                          "is not a key name",
		name + "/":                          "is not a key name",
		name + "\n":                         "is not a key name",
		"projects/acme/locations/europe-west3/keyRings/satchel":                    "is not a key name",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/":        "is not a key name",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/*":       "is not a key name",
		"projects//locations/europe-west3/keyRings/satchel/cryptoKeys/kek":         "is not a key name",
		"projects/acme/locations/europe-west3/keyRings/../satchel/cryptoKeys/kek":  "is not a key name",
		"projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek?a=b": "is not a key name",
	} {
		kek, err := gcpkms.New(client, wrong)
		require.ErrorContains(t, err, advice, "the error names the fix for %q", wrong)
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

func TestNew_InvalidClient(t *testing.T) {
	const name = "projects/acme/locations/global/keyRings/satchel/cryptoKeys/kek"
	_, err := gcpkms.New(nil, name)
	require.ErrorContains(t, err, "the client is nil; make one with kms.NewKeyManagementClient")
	rest, err := kms.NewKeyManagementRESTClient(t.Context(), option.WithoutAuthentication())
	require.NoError(t, err)
	_, err = gcpkms.New(rest, name)
	require.ErrorContains(t, err, "the client uses REST; make a gRPC client with kms.NewKeyManagementClient")
	require.NoError(t, rest.Close())
}

func TestKEK(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Service { return newTestKEK(t) })
}

func TestKEK_Requests(t *testing.T) {
	kek := newTestKEK(t)
	kmstest.RequireUnwraps(t, kek, kmstest.Wrap(t, kek))
	requests := kek.server.Requests()
	require.Len(t, requests, 2, "each operation is one call")
	aad, err := kmstest.Tenant.Encode()
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
	// The server has verified them.
}

func TestKEK_Versions(t *testing.T) {
	kek := newTestKEK(t)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	_, before, err := keys.NewKey(t.Context(), kmstest.Tenant)
	require.NoError(t, err)
	_, stale := keys.Stale(before)
	require.False(t, stale)

	old := kmstest.Wrap(t, kek)
	kek.server.Rotate(kek.name)
	recent := kmstest.Wrap(t, kek)
	require.Equal(t, "1", old.Version)
	require.Equal(t, "2", recent.Version)
	kmstest.RequireUnwraps(t, kek, old)
	kmstest.RequireUnwraps(t, kek, recent)

	require.NoError(t, keys.Check(t.Context()))
	why, stale := keys.Stale(before)
	require.True(t, stale, "Check has seen the new primary version")
	require.Contains(t, why, `wrapped under version "1"`)
	after, err := keys.Rewrap(t.Context(), before, kmstest.Tenant)
	require.NoError(t, err)
	_, stale = keys.Stale(after)
	require.False(t, stale)

	kek.server.SetState(kek.name, 1, kmspb.CryptoKeyVersion_DESTROYED)
	kmstest.RequireUnwraps(t, kek, recent)
	kek.Calls()
	kmstest.RequireUnwrapFails(t, kek, old, keyring.ErrKeyState)
	require.Equal(t, 1, kek.Calls())
}

func TestKEK_ForeignResponse(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
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
		faults = append(faults, kmstest.Fault{
			Name: "name " + name, Wrap: keyring.ErrTampered, Calls: 1,
			Set: func() {
				kek.server.Break(gcpkmsserver.Edit(func(response *kmspb.EncryptResponse, _ *kmspb.DecryptResponse) { response.Name = name }))
			},
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}
