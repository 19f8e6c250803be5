package awskms_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
)

func TestErrors_Codes(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
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
		// Unknown codes.
		{"MissingAuthenticationTokenException", 400, keyring.ErrDenied},
		{"OptInRequired", 403, keyring.ErrDenied},
		{"SomethingNewException", 400, keyring.ErrDenied},
		{"InternalFailure", 500, keyring.ErrUnavailable},
		{"ServiceUnavailable", 503, keyring.ErrUnavailable},
	} {
		faults = append(faults, kmstest.Fault{
			Name: row.code, Set: func() { kek.server.Break(awskmsserver.Refuse(row.status, row.code)) },
			Wrap: row.class, Unwrap: row.class, Ends: ": " + row.code,
		})
	}
	kmstest.RunFaults(t, kek, faults...)
}

func TestErrors_KeyState(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for _, state := range []awskmsserver.State{awskmsserver.Disabled, awskmsserver.PendingDeletion} {
		faults = append(faults, kmstest.Fault{
			Name: string(state), Set: func() { kek.server.SetState(kek.arn, state) },
			Wrap: keyring.ErrKeyState, Unwrap: keyring.ErrKeyState,
		})
	}
	w := kmstest.RunFaults(t, kek, faults...)
	kek.server.SetState(kek.arn, awskmsserver.Enabled)
	kmstest.RequireUnwraps(t, kek, w)
}

// Only temporary failures are retried.
func TestErrors_Retries(t *testing.T) {
	kek := newTestKEK(t)
	w := kmstest.Wrap(t, kek)
	kek.Calls()
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
		_, err := kek.Unwrap(t.Context(), w, kmstest.Tenant)
		require.Error(t, err)
		require.Equal(t, calls, kek.Calls(), "calls on %s", code)
	}
}

func TestErrors_InvalidResponse(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for name, set := range kek.each(map[string]awskmsserver.Fault{
		"a closed connection":        awskmsserver.Cut,
		"a page of a proxy":          awskmsserver.Respond(200, "<html>sign in</html>"),
		"a refusal of a proxy":       awskmsserver.Respond(403, "<html>forbidden</html>"),
		"a refusal without a body":   awskmsserver.Respond(403, ""),
		"a refusal without a code":   awskmsserver.Respond(400, `{"message":"no"}`),
		"a failure of a gateway":     awskmsserver.Respond(502, "bad gateway"),
		"an empty response":          awskmsserver.Respond(200, ""),
		"half a response":            awskmsserver.Respond(200, `{"KeyId":"arn:`),
		"a response of another form": awskmsserver.Respond(200, `[1,2,3]`),
		"a ciphertext not in base64": awskmsserver.Respond(200, `{"CiphertextBlob":"***","Plaintext":"***"}`),
	}) {
		faults = append(faults, kmstest.Fault{Name: name, Set: set, Wrap: keyring.ErrUnavailable, Unwrap: keyring.ErrUnavailable})
	}
	kmstest.RunFaults(t, kek, faults...)
}

// A gateway's own JSON says nothing about the key, whatever its status and code.
func TestErrors_Gateway(t *testing.T) {
	kek := newTestKEK(t)
	var faults []kmstest.Fault
	for name, body := range map[string]string{
		"a code":            `{"code":"Forbidden","message":"no"}`,
		"a code of KMS":     `{"code":"AccessDeniedException","message":"no"}`,
		"a type":            `{"__type":"ForbiddenException","message":"no"}`,
		"a type of KMS":     `{"__type":"DisabledException","message":"no"}`,
		"a tampered answer": `{"__type":"InvalidCiphertextException"}`,
		"a number":          `{"code":403}`,
	} {
		for _, status := range []int{400, 401, 403, 404, 405, 407, 412, 451} {
			for _, kind := range []string{"application/json", "text/html", ""} {
				respond := func(http.Handler, []byte) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", kind)
						w.Header().Set("X-Amzn-Requestid", "made-up")
						w.WriteHeader(status)
						_, _ = io.WriteString(w, body)
					})
				}
				faults = append(faults, kmstest.Fault{
					Name: fmt.Sprintf("%s, %d, %s", name, status, kind), Set: func() { kek.server.Break(respond) },
					Wrap: keyring.ErrUnavailable, Unwrap: keyring.ErrUnavailable,
					Ends: "any proxy between this machine and KMS",
				})
			}
		}
	}
	kmstest.RunFaults(t, kek, faults...)
}

func TestErrors_ConnectionRefused(t *testing.T) {
	kek, err := awskms.New(kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://127.0.0.1:1"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "a-secret-access-key-of-some-length"}, nil
		}),
		RetryMaxAttempts: 1,
	}), keyARN)
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, "dial tcp 127.0.0.1:1", "the error names the address")
}

func TestErrors_Credentials(t *testing.T) {
	metadata := &smithy.OperationError{ServiceID: "ec2imds", OperationName: "GetMetadata", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}},
		Err:      errors.New("request to EC2 IMDS failed"),
	}}
	for _, row := range []struct {
		failure error
		class   error
		text    string
	}{
		{&smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed to assume the role"}, keyring.ErrDenied, "AccessDenied"},
		{errors.New("no metadata service"), keyring.ErrUnavailable, "check the client's endpoint, network and credentials"},
		{metadata, keyring.ErrUnavailable, "the client has no credentials"},
	} {
		kek, err := awskms.New(kms.New(kms.Options{
			Region:      region,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, row.failure }),
		}), keyARN)
		require.NoError(t, err)
		_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
		kmstest.RequireClass(t, err, row.class)
		require.ErrorContains(t, err, row.text)
		require.NotContains(t, err.Error(), row.failure.Error(), "only codes are quoted")
	}
}

// The SDK's own sources of credentials, with a gateway before them.
func TestErrors_CredentialsGateway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("made-up"), 0o600))
	for _, row := range []struct {
		status     int
		kind, body string
		class      error // of STS
	}{
		{403, "text/html", "<html>canary", keyring.ErrUnavailable},
		{403, "text/plain", "", keyring.ErrUnavailable},
		{403, "application/json", `{"message":"canary"}`, keyring.ErrUnavailable},
		{404, "text/html", "<html>canary", keyring.ErrUnavailable},
		{400, "application/json", `{"code":"Forbidden"}`, keyring.ErrUnavailable},
		{403, "text/xml", `<ErrorResponse><Error><Code>AccessDenied</Code><Message>canary</Message></Error></ErrorResponse>`, keyring.ErrDenied},
		{403, "text/xml", `<ErrorResponse><Error><Code>Forbidden</Code></Error></ErrorResponse>`, keyring.ErrUnavailable},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", row.kind)
			w.WriteHeader(row.status)
			_, _ = io.WriteString(w, row.body)
		}))
		for source, settings := range map[string]map[string]string{
			"STS":         {"AWS_ENDPOINT_URL_STS": server.URL, "AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/made-up"},
			"a container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL},
		} {
			t.Run(fmt.Sprintf("%s, %d %s %s", source, row.status, row.kind, row.body), func(t *testing.T) {
				for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
					t.Setenv(name, os.DevNull)
				}
				t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
				for name, value := range settings {
					t.Setenv(name, value)
				}
				cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
				require.NoError(t, err)
				kek, err := awskms.New(kms.NewFromConfig(cfg), keyARN)
				require.NoError(t, err)
				_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
				class := row.class
				if source != "STS" {
					class = keyring.ErrUnavailable
				}
				kmstest.RequireClass(t, err, class)
				require.NotContains(t, err.Error(), "canary")
			})
		}
		server.Close()
	}
}

// A failingAPI fails without HTTP, as a custom client might.
type failingAPI struct{ err error }

func (a failingAPI) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return nil, a.err
}

func (a failingAPI) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return nil, a.err
}

// An unknown code is a denial unless the server is at fault.
func TestErrors_UnknownCode(t *testing.T) {
	for fault, class := range map[smithy.ErrorFault]error{
		smithy.FaultUnknown: keyring.ErrDenied,
		smithy.FaultClient:  keyring.ErrDenied,
		smithy.FaultServer:  keyring.ErrUnavailable,
	} {
		kek, err := awskms.New(failingAPI{&smithy.GenericAPIError{Code: "SomethingNew", Fault: fault}}, keyARN)
		require.NoError(t, err)
		_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
		kmstest.RequireClass(t, err, class)
	}
}

// A timeout of the client is an outage, not the end of the caller's context.
func TestErrors_ClientTimeout(t *testing.T) {
	kek, err := awskms.New(failingAPI{context.DeadlineExceeded}, keyARN)
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), kmstest.DataKey, kmstest.Tenant)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
}
