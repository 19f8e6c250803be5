package awskms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

func TestNew_Suite(t *testing.T) {
	server := awskmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		arn := server.CreateKey(region, id)
		kek, err := awskms.New(server.Client(region), arn)
		require.NoError(t, err)
		return testKEK{kek, server, arn}
	})
}

func TestNewMultiRegion_Suite(t *testing.T) {
	server := awskmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		arn := server.CreateKey(region, "mrk-"+id)
		kek, err := awskms.NewMultiRegion(server.Client(region), arn)
		require.NoError(t, err)
		return testKEK{kek, server, arn}
	})
}

func TestNew_InvalidARN(t *testing.T) {
	client := awskmsserver.New(t).Client(region)
	for name, advice := range map[string]string{
		"alias/satchel": "is an alias, which can be moved to another key; write the key's ARN",
		"arn:aws:kms:eu-central-1:111122223333:alias/satchel": "is an alias, which can be moved to another key; write the key's ARN",
		keyID: "lacks region and account; write the key's ARN",
		mrkID: "lacks region and account; write the key's ARN",
		"":    "write one such as arn:aws:kms:REGION:ACCOUNT:key/ID",
		"arn:aws:kms:eu-central-1:111122223333:key/":                  "write one such as",
		"arn:aws:kms:eu-central-1:111122223333:key/*":                 "write one such as",
		"arn:aws:kms:*:111122223333:key/" + mrkID:                     "write one such as",
		"arn:aws:kms::111122223333:key/" + keyID:                      "write one such as",
		"arn:aws:kms:eu-central-1::key/" + keyID:                      "write one such as",
		"arn:aws:s3:eu-central-1:111122223333:key/" + keyID:           "write one such as",
		"arn:aws:kms:eu-central-1:111122223333:key/" + keyID + "\n":   "write one such as",
		" arn:aws:kms:eu-central-1:111122223333:key/" + keyID:         "write one such as",
		"arn:aws:kms:eu-central-1:111122223333:key/" + keyID + "/../": "write one such as",
	} {
		kek, err := awskms.New(client, name)
		require.ErrorContains(t, err, advice, "the error names the fix for %q", name)
		require.Nil(t, kek)
		_, err = awskms.NewMultiRegion(client, name)
		require.ErrorContains(t, err, advice, "both constructors accept the same names")
	}
}

func TestNew_Partitions(t *testing.T) {
	client := awskmsserver.New(t).Client(region)
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-iso-b"} {
		arn := "arn:" + partition + ":kms:eu-central-1:111122223333:key/" + keyID
		kek, err := awskms.New(client, arn)
		require.NoError(t, err)
		require.Equal(t, keyring.KEKID{Service: "awskms", Key: arn}, kek.ID())
	}
}

func TestNew_NilClient(t *testing.T) {
	_, err := awskms.New(nil, keyARN)
	require.ErrorContains(t, err, "the client is nil; make one with kms.NewFromConfig")
}

func TestKEK(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Service { return newTestKEK(t) })
}

func TestKEK_Requests(t *testing.T) {
	kek := newTestKEK(t)
	kmstest.RequireUnwraps(t, kek, kmstest.Wrap(t, kek))
	requests := kek.server.Requests()
	require.Len(t, requests, 2, "each operation is one call")
	for _, r := range requests {
		require.Equal(t, kek.arn, r.KeyID, "%s names the key by its ARN", r.Operation)
		require.Equal(t, map[string]string(kmstest.Tenant), r.EncryptionContext,
			"the encryption context is the unchanged map, so that a key policy can match it")
	}
}

func TestKEK_UnwrapForeignKey(t *testing.T) {
	kek := newTestKEK(t)
	arn := kek.server.CreateKey(region, "another-key")
	another, err := awskms.New(kek.server.Client(region), arn)
	require.NoError(t, err)
	w, err := another.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	require.NoError(t, err)

	_, err = kek.Unwrap(t.Context(), w, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrNoKey)
	w.KEK = kek.ID()
	got, err := kek.Unwrap(t.Context(), w, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrNoKey)
	require.Nil(t, got, "the key that the ciphertext names is not used, although it exists and the caller may use it")
}

func TestKEK_ForeignResponse(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for _, name := range []string{
		"arn:aws:kms:us-east-1:111122223333:key/" + keyID, // another region
		kek.arn + "0",
		keyID,
		"",
	} {
		faults = append(faults, kmstest.Fault{
			Name: "key " + name, Wrap: keyring.ErrTampered, Unwrap: keyring.ErrTampered,
			Set: func() {
				kek.server.Break(awskmsserver.Edit(func(response map[string]any) { response["KeyId"] = name }))
			},
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

func TestKEK_IncompleteResponse(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for name, edit := range map[string]func(response map[string]any){
		"no key": func(response map[string]any) { delete(response, "KeyId") },
		"no content": func(response map[string]any) {
			delete(response, "Plaintext")
			delete(response, "CiphertextBlob")
		},
		"empty content": func(response map[string]any) { response["Plaintext"], response["CiphertextBlob"] = "", "" },
		"nothing":       func(response map[string]any) { clear(response) },
	} {
		faults = append(faults, kmstest.Fault{
			Name: name, Set: func() { kek.server.Break(awskmsserver.Edit(edit)) },
			Wrap: keyring.ErrUnavailable, Unwrap: keyring.ErrUnavailable,
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

func TestKEK_Rotation(t *testing.T) {
	kek := newTestKEK(t)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	_, before, err := keys.NewKey(t.Context(), kmstest.Tenant)
	require.NoError(t, err)
	kek.server.Rotate(kek.arn)
	_, after, err := keys.NewKey(t.Context(), kmstest.Tenant)
	require.NoError(t, err)
	for _, rec := range []keyring.Record{before, after} {
		key, err := keys.OpenKey(t.Context(), rec, kmstest.Tenant)
		require.NoError(t, err)
		key.Destroy()
		why, stale := keys.Stale(rec)
		require.False(t, stale, "the response to Encrypt names no key material, so Stale has nothing to compare: %s", why)
	}
	require.Empty(t, kmstest.Wrap(t, kek).Version)
}

func TestNewMultiRegion_Replica(t *testing.T) {
	server := awskmsserver.New(t)
	home := server.CreateKey("eu-central-1", mrkID)
	away := server.Replicate(home, "us-east-1")
	inHome, err := awskms.NewMultiRegion(server.Client("eu-central-1"), home)
	require.NoError(t, err)
	inAway, err := awskms.NewMultiRegion(server.Client("us-east-1"), away)
	require.NoError(t, err)
	require.Equal(t, keyring.KEKID{Service: "awskms", Key: "arn:aws:kms:*:111122223333:key/" + mrkID}, inHome.ID())
	require.Equal(t, inHome.ID(), inAway.ID(), "the same key has the same ID")

	w, err := inHome.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	require.NoError(t, err)
	kmstest.RequireUnwraps(t, inAway, w)
	server.SetState(home, awskmsserver.Disabled)
	kmstest.RequireUnwraps(t, inAway, w)
	_, err = inHome.Unwrap(t.Context(), w, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrKeyState)
	for _, r := range server.Requests() {
		require.Contains(t, r.KeyID, ":"+r.Region+":", "each region gets requests for its own key")
	}

	// The response must name the key of the region that got the request.
	server.Break(awskmsserver.Edit(func(response map[string]any) { response["KeyId"] = home }))
	got, err := inAway.Unwrap(t.Context(), w, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrTampered)
	require.Nil(t, got)
}

func TestNew_Replica(t *testing.T) {
	server := awskmsserver.New(t)
	home := server.CreateKey("eu-central-1", mrkID)
	away := server.Replicate(home, "us-east-1")
	inHome, err := awskms.New(server.Client("eu-central-1"), home)
	require.NoError(t, err)
	inAway, err := awskms.New(server.Client("us-east-1"), away)
	require.NoError(t, err)
	require.NotEqual(t, inHome.ID(), inAway.ID())
	w, err := inHome.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	require.NoError(t, err)
	_, err = inAway.Unwrap(t.Context(), w, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrNoKey)

	keys, err := keyring.New(inHome, &keyring.Options{Replicas: []keyring.KEK{inAway}})
	require.NoError(t, err, "in one process, two regions are a primary and a replica")
	_, rec, err := keys.NewKey(t.Context(), kmstest.Tenant)
	require.NoError(t, err)
	server.SetState(home, awskmsserver.PendingDeletion)
	key, err := keys.OpenKey(t.Context(), rec, kmstest.Tenant)
	require.NoError(t, err, "losing a region loses no data")
	key.Destroy()
}

func TestNewMultiRegion_SingleRegionKey(t *testing.T) {
	_, err := awskms.NewMultiRegion(awskmsserver.New(t).Client(region), keyARN)
	require.ErrorContains(t, err, "is not a multi-Region key (key ID mrk-…); use New")
}

func TestNew_OtherRegion(t *testing.T) {
	kek := newTestKEK(t)
	misled, err := awskms.New(kek.server.Client("us-east-1"), kek.arn)
	require.NoError(t, err)
	_, err = misled.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrNoKey)
	require.True(t, strings.HasSuffix(err.Error(), "NotFoundException"), "got %q", err)
}
