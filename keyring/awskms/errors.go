package awskms

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/satchelhq/satchel/keyring"
)

// classes maps the error codes of KMS to classes. It uses codes rather than the
// types of the SDK because access denied and throttling have no type.
var classes = map[string]error{
	"InvalidCiphertextException": keyring.ErrTampered,

	"NotFoundException":     keyring.ErrNoKey,
	"IncorrectKeyException": keyring.ErrNoKey,

	"DisabledException":        keyring.ErrKeyState,
	"KMSInvalidStateException": keyring.ErrKeyState,
	"InvalidKeyUsageException": keyring.ErrKeyState, // not an encryption key

	"AccessDeniedException":       keyring.ErrDenied,
	"UnrecognizedClientException": keyring.ErrDenied,
	"ExpiredTokenException":       keyring.ErrDenied,
	"InvalidGrantTokenException":  keyring.ErrDenied,

	// Codes of AWS's sources of credentials, such as STS.
	"AccessDenied":          keyring.ErrDenied,
	"ExpiredToken":          keyring.ErrDenied,
	"InvalidIdentityToken":  keyring.ErrDenied,
	"InvalidClientTokenId":  keyring.ErrDenied,
	"SignatureDoesNotMatch": keyring.ErrDenied,
	"UnauthorizedException": keyring.ErrDenied,

	"ThrottlingException":        keyring.ErrUnavailable,
	"KMSInternalException":       keyring.ErrUnavailable,
	"DependencyTimeoutException": keyring.ErrUnavailable,
	"KeyUnavailableException":    keyring.ErrUnavailable,

	// Other codes for throttling and for a slow request, with status 400.
	"Throttling":              keyring.ErrUnavailable,
	"RequestLimitExceeded":    keyring.ErrUnavailable,
	"RequestTimeout":          keyring.ErrUnavailable,
	"RequestTimeoutException": keyring.ErrUnavailable,

	"ValidationException":    keyring.ErrMalformed,
	"SerializationException": keyring.ErrMalformed,
}

// noCode is the SDK's code for an error response without a code.
const noCode = "UnknownError"

// serviceError translates an error of the SDK into one with a class. From the
// response it quotes only the code.
//
// An unknown code of KMS with a status of 500 or more is unavailable. Any other unknown
// code of KMS is denied: a retry does not help, and a keyring then tries its replicas and
// drops the cached key. A response without a code, or of another type than those of KMS,
// is not from KMS, whatever its status, but from an intermediary; and an unknown code
// from a source of credentials says nothing about the key.
func serviceError(err error) error {
	response, ok := errors.AsType[smithy.APIError](err)
	if !ok || response.ErrorCode() == "" || response.ErrorCode() == noCode {
		return fmt.Errorf("%w: %s", keyring.ErrUnavailable, noResponse(err))
	}
	from := sourceOf(err)
	if from == fromGateway {
		return fmt.Errorf("%w: %s", keyring.ErrUnavailable, noResponse(err))
	}
	code := response.ErrorCode()
	class, ok := classes[code]
	switch {
	case ok:
	case from == fromCredentials, response.ErrorFault() == smithy.FaultServer, statusOf(err) >= http.StatusInternalServerError:
		class = keyring.ErrUnavailable
	default:
		class = keyring.ErrDenied
	}
	return fmt.Errorf("%w: %s", class, printable(code))
}

// source is the origin of an error with a code.
type source int

const (
	fromKMS         source = iota // KMS, or an API without HTTP
	fromCredentials               // the source of the client's credentials
	fromGateway
)

// sourceOf returns the origin of an error with a code. A gateway's own JSON may contain
// a code as well, but has a common type.
func sourceOf(err error) source {
	call, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return fromKMS
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || response.HTTPResponse() == nil || isNested(call) {
		return fromCredentials
	}
	kind, _, _ := mime.ParseMediaType(response.HTTPResponse().Header.Get("Content-Type"))
	if strings.HasPrefix(kind, "application/x-amz-json-") || kind == "application/cbor" {
		return fromKMS
	}
	return fromGateway
}

// isNested reports whether a call failed because another call of the SDK, for
// credentials, did.
func isNested(call *smithy.OperationError) bool {
	_, ok := errors.AsType[*smithy.OperationError](call.Err)
	return ok
}

// statusOf returns the HTTP status of the response behind an error, or zero.
func statusOf(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// noResponse explains a missing response without quoting the server.
func noResponse(err error) string {
	if call, ok := errors.AsType[*smithy.OperationError](err); ok && isNested(call) {
		return "the client has no credentials because their source sent an invalid response; check the configured source"
	}
	if status := statusOf(err); status >= http.StatusMultipleChoices {
		return fmt.Sprintf("response with status %d that is no error of KMS; check the source of the client's credentials, and any proxy between this machine and KMS", status)
	} else if status != 0 {
		return "invalid response"
	}
	if failure, ok := errors.AsType[*net.OpError](err); ok {
		return failure.Error()
	}
	return "no response; check the client's endpoint, network and credentials"
}

// printable returns code if it has the form of an error code.
func printable(code string) string {
	notLetter := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	if len(code) > 64 || strings.ContainsFunc(code, notLetter) {
		return "invalid error code"
	}
	return code
}
