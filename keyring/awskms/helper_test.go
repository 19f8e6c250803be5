package awskms_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
)

const (
	region = "eu-central-1"
	keyID  = "1234abcd-12ab-34cd-56ef-1234567890ab"
	mrkID  = "mrk-1234abcd12ab34cd56ef1234567890ab"
	keyARN = "arn:aws:kms:eu-central-1:111122223333:key/" + keyID
)

// A testKEK is a KEK with its server. It implements kmstest.Service.
type testKEK struct {
	*awskms.KEK
	server *awskmsserver.Server
	arn    string
}

// newTestKEK returns the KEK of a new key on a new server.
func newTestKEK(t *testing.T) testKEK {
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

func (k testKEK) Label() string       { return "AWS KMS" }
func (k testKEK) LargeKey() int       { return 3900 }
func (k testKEK) RequestText() string { return "EncryptionContext" }
func (k testKEK) SendsDeadline() bool { return false }
func (k testKEK) Calls() int          { return len(k.server.Requests()) }

func (k testKEK) Hang(arrived chan<- context.Context, gone chan<- struct{}) {
	k.server.Break(awskmsserver.Hang(arrived, gone))
}

func (k testKEK) Interrupt(f func()) {
	k.server.Break(awskmsserver.Edit(func(response map[string]any) {
		f()
		clear(response)
	}))
}

func (k testKEK) Echoes(key, blob []byte) map[string]func() {
	echo := base64.StdEncoding.EncodeToString(key)
	return k.each(map[string]awskmsserver.Fault{
		"a message that repeats the request": awskmsserver.Refuse(400, "AccessDeniedException"),
		"a code that repeats the key":        awskmsserver.Refuse(400, echo),
		"a code that repeats the blob":       awskmsserver.Refuse(500, base64.StdEncoding.EncodeToString(blob)),
		"a code that is the key":             awskmsserver.Refuse(400, string(key)),
		"an invalid response":                awskmsserver.Respond(200, string(key)+echo),
		"an invalid error":                   awskmsserver.Respond(400, string(key)+echo),
		"a response for another key": awskmsserver.Edit(func(response map[string]any) {
			response["KeyId"] = string(key)
		}),
		"a plaintext without a key": awskmsserver.Edit(func(response map[string]any) { delete(response, "KeyId") }),
	})
}

// each returns functions that set the faults.
func (k testKEK) each(faults map[string]awskmsserver.Fault) map[string]func() {
	set := make(map[string]func())
	for name, fault := range faults {
		set[name] = func() { k.server.Break(fault) }
	}
	return set
}
