package awskms_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/stretchr/testify/require"
)

func TestTheSuitePasses(t *testing.T) {
	server := awskmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		arn := server.CreateKey(region, id)
		kek, err := awskms.New(server.Client(region), arn)
		require.NoError(t, err)
		return testKEK{kek, server, arn}
	})
}

func TestTheSuitePassesForMultiRegionKeys(t *testing.T) {
	server := awskmsserver.New(t)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		arn := server.CreateKey(region, "mrk-"+id)
		kek, err := awskms.NewMultiRegion(server.Client(region), arn)
		require.NoError(t, err)
		return testKEK{kek, server, arn}
	})
}

func TestOnlyAKeysARNIsTaken(t *testing.T) {
	client := awskmsserver.New(t).Client(region)
	for name, advice := range map[string]string{
		"alias/satchel": "is an alias, which can be moved to another key; write the key's ARN",
		"arn:aws:kms:eu-central-1:111122223333:alias/satchel": "is an alias, which can be moved to another key; write the key's ARN",
		keyID: "does not tell the region and the account; write the key's ARN",
		mrkID: "does not tell the region and the account; write the key's ARN",
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
		require.ErrorContains(t, err, advice, "the error says what to write instead of %q", name)
		require.Nil(t, kek)
		_, err = awskms.NewMultiRegion(client, name)
		require.ErrorContains(t, err, advice, "both constructors take the same names")
	}
}

func TestKeysOfAllPartitionsAreTaken(t *testing.T) {
	client := awskmsserver.New(t).Client(region)
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-iso-b"} {
		arn := "arn:" + partition + ":kms:eu-central-1:111122223333:key/" + keyID
		kek, err := awskms.New(client, arn)
		require.NoError(t, err)
		require.Equal(t, keyring.KEKID{Service: "awskms", Key: arn}, kek.ID())
	}
}

func TestANilClientIsRefused(t *testing.T) {
	_, err := awskms.New(nil, "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
	require.ErrorContains(t, err, "the client is nil; make one with kms.NewFromConfig")
}

func TestEveryRequestNamesTheKeyAndTheContext(t *testing.T) {
	kek := newKEK(t)
	requireOpens(t, kek, kek.wrap(t))
	requests := kek.server.Requests()
	require.Len(t, requests, 2, "each operation is one call")
	for _, r := range requests {
		require.Equal(t, kek.arn, r.KeyID, "%s names the key by its ARN", r.Operation)
		require.Equal(t, map[string]string(acme), r.EncryptionContext,
			"the encryption context is the map as it is, so that a key policy can match it")
	}
}

func TestAKeyThatTheCiphertextNamesIsNotUsed(t *testing.T) {
	kek := newKEK(t)
	arn := kek.server.CreateKey(region, "another-key")
	another, err := awskms.New(kek.server.Client(region), arn)
	require.NoError(t, err)
	w, err := another.Wrap(t.Context(), dek, acme)
	require.NoError(t, err)

	_, err = kek.Unwrap(t.Context(), w, acme)
	requireClass(t, err, keyring.ErrNoKey)
	w.KEK = kek.ID()
	got, err := kek.Unwrap(t.Context(), w, acme)
	requireClass(t, err, keyring.ErrNoKey)
	require.Nil(t, got, "the service has that key and the caller may use it, and still it was not asked for")
}

func TestAnAnswerOfAnotherKeyIsRefused(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, name := range []string{
		"arn:aws:kms:us-east-1:111122223333:key/" + keyID, // another region
		kek.arn + "0",
		keyID,
		"",
	} {
		kek.server.Break(awskmsserver.Edit(func(answer map[string]any) { answer["KeyId"] = name }))
		kek.requireBoth(t, w, keyring.ErrTampered)
	}
}

func TestAnAnswerWithAPartMissingIsRefused(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, edit := range []func(answer map[string]any){
		func(answer map[string]any) { delete(answer, "KeyId") },
		func(answer map[string]any) { delete(answer, "Plaintext"); delete(answer, "CiphertextBlob") },
		func(answer map[string]any) { answer["Plaintext"], answer["CiphertextBlob"] = "", "" },
		func(answer map[string]any) { clear(answer) },
	} {
		kek.server.Break(awskmsserver.Edit(edit))
		kek.requireBoth(t, w, keyring.ErrUnavailable)
	}
}

func TestWhatKMSCannotTakeIsRefusedWithoutACall(t *testing.T) {
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
	_, err = kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: keyring.KEKID{Service: "fake", Key: kek.arn}, Blob: dek}, acme)
	requireClass(t, err, keyring.ErrNoKey)
	require.Zero(t, kek.calls(), "none of these reached the service")

	largest := bytes.Repeat([]byte{7}, 3900)
	w, err := kek.Wrap(t.Context(), largest, acme)
	require.NoError(t, err)
	got, err := kek.Unwrap(t.Context(), w, acme)
	require.NoError(t, err)
	require.Equal(t, largest, got)
}

func TestRotatedMaterialOpensBothAndHasNoVersion(t *testing.T) {
	kek := newKEK(t)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	_, before, err := keys.NewKey(t.Context(), acme)
	require.NoError(t, err)
	kek.server.Rotate(kek.arn)
	_, after, err := keys.NewKey(t.Context(), acme)
	require.NoError(t, err)
	for _, rec := range []keyring.Record{before, after} {
		key, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		key.Destroy()
		why, stale := keys.Stale(rec)
		require.False(t, stale, "the answer to Encrypt names no key material, so Stale has nothing to compare: %s", why)
	}
	require.Empty(t, kek.wrap(t).Version)
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

func TestACanceledCallEndsAtTheServerToo(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	kek.calls()
	for operation, call := range map[string]func(context.Context) error{
		"Wrap":   func(ctx context.Context) error { _, err := kek.Wrap(ctx, dek, acme); return err },
		"Unwrap": func(ctx context.Context) error { _, err := kek.Unwrap(ctx, w, acme); return err },
	} {
		arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
		kek.server.Break(awskmsserver.Hang(arrived, gone))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		<-arrived
		cancel()
		require.ErrorIs(t, <-result, context.Canceled, "%s returns with its context's error", operation)
		<-gone
		require.Equal(t, 1, kek.calls(), "a canceled call is not tried again")
	}
}

func TestTheErrorOfAnEndedContextIsItsOwn(t *testing.T) {
	kek := newKEK(t)
	ctx, cancel := context.WithCancel(t.Context())
	kek.server.Break(awskmsserver.Edit(func(answer map[string]any) {
		cancel()
		clear(answer)
	}))
	_, err := kek.Wrap(ctx, dek, acme)
	require.ErrorIs(t, err, context.Canceled, "whatever the answer was, the caller had left")
	require.NotErrorIs(t, err, keyring.ErrUnavailable)
}

func TestARegionOpensWhatItsReplicaWrapped(t *testing.T) {
	server := awskmsserver.New(t)
	home := server.CreateKey("eu-central-1", mrkID)
	away := server.Replicate(home, "us-east-1")
	inHome, err := awskms.NewMultiRegion(server.Client("eu-central-1"), home)
	require.NoError(t, err)
	inAway, err := awskms.NewMultiRegion(server.Client("us-east-1"), away)
	require.NoError(t, err)
	require.Equal(t, keyring.KEKID{Service: "awskms", Key: "arn:aws:kms:*:111122223333:key/" + mrkID}, inHome.ID())
	require.Equal(t, inHome.ID(), inAway.ID(), "the key is the same, so its name is")

	w, err := inHome.Wrap(t.Context(), dek, acme)
	require.NoError(t, err)
	requireOpens(t, inAway, w)
	server.SetState(home, awskmsserver.Disabled)
	requireOpens(t, inAway, w)
	_, err = inHome.Unwrap(t.Context(), w, acme)
	requireClass(t, err, keyring.ErrKeyState)
	for _, r := range server.Requests() {
		require.Contains(t, r.KeyID, ":"+r.Region+":", "each region is asked for its own key")
	}

	// The answer names the key of the region that was asked, and no other.
	server.Break(awskmsserver.Edit(func(answer map[string]any) { answer["KeyId"] = home }))
	got, err := inAway.Unwrap(t.Context(), w, acme)
	requireClass(t, err, keyring.ErrTampered)
	require.Nil(t, got)
}

func TestAKeyOfOneRegionIsNotItsReplica(t *testing.T) {
	server := awskmsserver.New(t)
	home := server.CreateKey("eu-central-1", mrkID)
	away := server.Replicate(home, "us-east-1")
	inHome, err := awskms.New(server.Client("eu-central-1"), home)
	require.NoError(t, err)
	inAway, err := awskms.New(server.Client("us-east-1"), away)
	require.NoError(t, err)
	require.NotEqual(t, inHome.ID(), inAway.ID())
	w, err := inHome.Wrap(t.Context(), dek, acme)
	require.NoError(t, err)
	_, err = inAway.Unwrap(t.Context(), w, acme)
	requireClass(t, err, keyring.ErrNoKey)

	keys, err := keyring.New(inHome, &keyring.Options{Replicas: []keyring.KEK{inAway}})
	require.NoError(t, err, "two regions in one process are a primary and a replica")
	_, rec, err := keys.NewKey(t.Context(), acme)
	require.NoError(t, err)
	server.SetState(home, awskmsserver.PendingDeletion)
	key, err := keys.OpenKey(t.Context(), rec, acme)
	require.NoError(t, err, "losing a region loses nothing")
	key.Destroy()
}

func TestASingleRegionKeyIsNoMultiRegionKey(t *testing.T) {
	_, err := awskms.NewMultiRegion(awskmsserver.New(t).Client(region), "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
	require.ErrorContains(t, err, "is no multi-Region key, whose id begins with mrk-; use New")
}

func TestAClientOfAnotherRegionFindsNoKey(t *testing.T) {
	kek := newKEK(t)
	misled, err := awskms.New(kek.server.Client("us-east-1"), kek.arn)
	require.NoError(t, err)
	_, err = misled.Wrap(t.Context(), dek, acme)
	requireClass(t, err, keyring.ErrNoKey)
	require.True(t, strings.HasSuffix(err.Error(), "NotFoundException"), "got %q", err)
}
