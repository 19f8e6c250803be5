package awskms_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/stretchr/testify/require"
)

func TestEachErrorCodeHasItsClass(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, row := range []struct {
		code   string
		status int
		class  error
	}{
		{"InvalidCiphertextException", 400, keyring.ErrTampered},
		{"NotFoundException", 400, keyring.ErrNoKey},
		{"IncorrectKeyException", 400, keyring.ErrNoKey},
		{"DisabledException", 400, keyring.ErrKeyState},
		{"KMSInvalidStateException", 400, keyring.ErrKeyState},
		{"InvalidKeyUsageException", 400, keyring.ErrKeyState},
		{"AccessDeniedException", 400, keyring.ErrDenied},
		{"UnrecognizedClientException", 400, keyring.ErrDenied},
		{"ExpiredTokenException", 400, keyring.ErrDenied},
		{"InvalidGrantTokenException", 400, keyring.ErrDenied},
		{"ThrottlingException", 400, keyring.ErrUnavailable},
		{"Throttling", 400, keyring.ErrUnavailable},
		{"RequestLimitExceeded", 400, keyring.ErrUnavailable},
		{"RequestTimeout", 400, keyring.ErrUnavailable},
		{"RequestTimeoutException", 400, keyring.ErrUnavailable},
		{"KMSInternalException", 500, keyring.ErrUnavailable},
		{"DependencyTimeoutException", 503, keyring.ErrUnavailable},
		{"KeyUnavailableException", 500, keyring.ErrUnavailable},
		{"ValidationException", 400, keyring.ErrMalformed},
		{"SerializationException", 400, keyring.ErrMalformed},
		// Codes that the table does not have.
		{"MissingAuthenticationTokenException", 400, keyring.ErrDenied},
		{"OptInRequired", 403, keyring.ErrDenied},
		{"SomethingNewException", 400, keyring.ErrDenied},
		{"InternalFailure", 500, keyring.ErrUnavailable},
		{"ServiceUnavailable", 503, keyring.ErrUnavailable},
	} {
		t.Run(row.code, func(t *testing.T) {
			kek.server.Break(awskmsserver.Refuse(row.status, row.code))
			kek.requireBoth(t, w, row.class)
			_, err := kek.Unwrap(t.Context(), w, acme)
			require.True(t, strings.HasSuffix(err.Error(), ": "+row.code), "the error ends with the code, got %q", err)
		})
	}
}

func TestTheStateOfTheKeyIsTold(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for _, state := range []awskmsserver.State{awskmsserver.Disabled, awskmsserver.PendingDeletion} {
		kek.server.SetState(kek.arn, state)
		kek.requireBoth(t, w, keyring.ErrKeyState)
	}
	kek.server.SetState(kek.arn, awskmsserver.Enabled)
	requireOpens(t, kek, w)
}

func TestOnlyWhatMayPassIsTriedAgain(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	kek.calls()
	for code, calls := range map[string]int{
		"ThrottlingException":   3,
		"KMSInternalException":  3,
		"AccessDeniedException": 1,
		"DisabledException":     1,
		"ValidationException":   1,
	} {
		status := http.StatusBadRequest
		if code == "KMSInternalException" {
			status = http.StatusInternalServerError
		}
		kek.server.Break(awskmsserver.Refuse(status, code))
		_, err := kek.Unwrap(t.Context(), w, acme)
		require.Error(t, err)
		require.Equal(t, calls, kek.calls(), "calls on %s", code)
	}
}

func TestWhatIsNotTheServicesAnswerIsUnavailable(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	for name, fault := range map[string]awskmsserver.Fault{
		"a connection cut":             awskmsserver.Cut,
		"a page of a proxy":            awskmsserver.Answer(200, "<html>sign in</html>"),
		"a refusal of a proxy":         awskmsserver.Answer(403, "<html>forbidden</html>"),
		"a refusal with no body":       awskmsserver.Answer(403, ""),
		"a refusal with no code":       awskmsserver.Answer(400, `{"message":"no"}`),
		"a failure of a gateway":       awskmsserver.Answer(502, "bad gateway"),
		"an empty answer":              awskmsserver.Answer(200, ""),
		"half an answer":               awskmsserver.Answer(200, `{"KeyId":"arn:`),
		"an answer of another form":    awskmsserver.Answer(200, `[1,2,3]`),
		"a ciphertext that is no text": awskmsserver.Answer(200, `{"CiphertextBlob":"***","Plaintext":"***"}`),
	} {
		t.Run(name, func(t *testing.T) {
			kek.server.Break(fault)
			kek.requireBoth(t, w, keyring.ErrUnavailable)
		})
	}
}

func TestAServiceThatIsNotThereIsUnavailable(t *testing.T) {
	kek, err := awskms.New(kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://127.0.0.1:1"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "a-secret-access-key-of-some-length"}, nil
		}),
		RetryMaxAttempts: 1,
	}), "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), dek, acme)
	requireClass(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, "dial tcp 127.0.0.1:1", "the error says what was not reached")
}

func TestCredentialsThatFailAreTheCauseOfTheirOwnError(t *testing.T) {
	metadata := &smithy.OperationError{ServiceID: "ec2imds", OperationName: "GetMetadata", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}},
		Err:      errors.New("request to EC2 IMDS failed"),
	}}
	for _, row := range []struct {
		failure error
		class   error
		says    string
	}{
		{&smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed to assume the role"}, keyring.ErrDenied, "AccessDenied"},
		{errors.New("no metadata service"), keyring.ErrUnavailable, "check the client's endpoint, network and credentials"},
		{metadata, keyring.ErrUnavailable, "the client has no credentials"},
	} {
		kek, err := awskms.New(kms.New(kms.Options{
			Region:      region,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, row.failure }),
		}), "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
		require.NoError(t, err)
		_, err = kek.Wrap(t.Context(), dek, acme)
		requireClass(t, err, row.class)
		require.ErrorContains(t, err, row.says)
		require.NotContains(t, err.Error(), row.failure.Error(), "only codes are repeated")
	}
}

// failingAPI fails as a client of someone's own might: without HTTP.
type failingAPI struct{ err error }

func (a failingAPI) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return nil, a.err
}

func (a failingAPI) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return nil, a.err
}

func TestAnUnknownCodeIsADenialUnlessTheServerIsAtFault(t *testing.T) {
	for fault, class := range map[smithy.ErrorFault]error{
		smithy.FaultUnknown: keyring.ErrDenied,
		smithy.FaultClient:  keyring.ErrDenied,
		smithy.FaultServer:  keyring.ErrUnavailable,
	} {
		kek, err := awskms.New(failingAPI{&smithy.GenericAPIError{Code: "SomethingNew", Fault: fault}}, "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
		require.NoError(t, err)
		_, err = kek.Wrap(t.Context(), dek, acme)
		requireClass(t, err, class)
	}
}

func TestATimeoutOfTheClientIsNotTheCallers(t *testing.T) {
	kek, err := awskms.New(failingAPI{context.DeadlineExceeded}, "arn:aws:kms:eu-central-1:111122223333:key/"+keyID)
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), dek, acme)
	requireClass(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
}

func TestNoErrorHoldsAKeyOrABlobOrWhatTheServerSaid(t *testing.T) {
	kek := newKEK(t)
	w := kek.wrap(t)
	echo := base64.StdEncoding.EncodeToString(dek)
	for name, fault := range map[string]awskmsserver.Fault{
		"a message that repeats the request": awskmsserver.Refuse(400, "AccessDeniedException"),
		"a code that repeats the key":        awskmsserver.Refuse(400, echo),
		"a code that repeats the blob":       awskmsserver.Refuse(500, base64.StdEncoding.EncodeToString(w.Blob)),
		"a code that is the key":             awskmsserver.Refuse(400, string(dek)),
		"an answer that cannot be read":      awskmsserver.Answer(200, string(dek)+echo),
		"an error that cannot be read":       awskmsserver.Answer(400, string(dek)+echo),
		"an answer of another key": awskmsserver.Edit(func(answer map[string]any) {
			answer["KeyId"] = string(dek)
		}),
		"a plaintext and no key": awskmsserver.Edit(func(answer map[string]any) { delete(answer, "KeyId") }),
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
	require.NotContains(t, text, "EncryptionContext", "%s: an error does not repeat the request", name)
}
