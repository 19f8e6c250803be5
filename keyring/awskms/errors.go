package awskms

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/satchelhq/satchel/keyring"
)

// classes are the classes of the error codes of KMS. Codes and not the types of
// the SDK: access denied and throttling have none.
var classes = map[string]error{
	"InvalidCiphertextException": keyring.ErrTampered,

	"NotFoundException":     keyring.ErrNoKey,
	"IncorrectKeyException": keyring.ErrNoKey,

	"DisabledException":        keyring.ErrKeyState,
	"KMSInvalidStateException": keyring.ErrKeyState,
	"InvalidKeyUsageException": keyring.ErrKeyState, // a key that does not encrypt

	"AccessDeniedException":       keyring.ErrDenied,
	"UnrecognizedClientException": keyring.ErrDenied,
	"ExpiredTokenException":       keyring.ErrDenied,
	"InvalidGrantTokenException":  keyring.ErrDenied,

	"ThrottlingException":        keyring.ErrUnavailable,
	"KMSInternalException":       keyring.ErrUnavailable,
	"DependencyTimeoutException": keyring.ErrUnavailable,
	"KeyUnavailableException":    keyring.ErrUnavailable,

	// Other names of throttling and of a slow request, which come with 400.
	"Throttling":              keyring.ErrUnavailable,
	"RequestLimitExceeded":    keyring.ErrUnavailable,
	"RequestTimeout":          keyring.ErrUnavailable,
	"RequestTimeoutException": keyring.ErrUnavailable,

	"ValidationException":    keyring.ErrMalformed,
	"SerializationException": keyring.ErrMalformed,
}

// noCode is what the SDK makes of an error answer that gives no code.
const noCode = "UnknownError"

// serviceError translates an error of the SDK into one of a class. It repeats
// the code and nothing else of what the server sent.
//
// A code that it does not know is unavailable with a status of 500 or more, and
// else denied: the service refused, asking again does not help, and a keyring
// goes on to its replicas and drops what it has cached. An answer without a code
// is not the service's own, whatever its status: something on the way sent it.
func serviceError(err error) error {
	answer, ok := errors.AsType[smithy.APIError](err)
	if !ok || answer.ErrorCode() == noCode {
		return fmt.Errorf("%w: %s", keyring.ErrUnavailable, noAnswer(err))
	}
	code := answer.ErrorCode()
	class, ok := classes[code]
	switch {
	case ok:
	case answer.ErrorFault() == smithy.FaultServer || statusOf(err) >= http.StatusInternalServerError:
		class = keyring.ErrUnavailable
	default:
		class = keyring.ErrDenied
	}
	return fmt.Errorf("%w: %s", class, printable(code))
}

// statusOf returns the HTTP status of the answer behind an error, or zero.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}

// noAnswer tells why there is no answer, in words that are not the server's.
func noAnswer(err error) string {
	if call, ok := errors.AsType[*smithy.OperationError](err); ok {
		// What failed was a call that the client made for its credentials.
		if _, other := errors.AsType[*smithy.OperationError](call.Err); other {
			return "the client has no credentials, since what gives them does not answer as it should; check where it takes them from"
		}
	}
	if status := statusOf(err); status >= http.StatusMultipleChoices {
		return fmt.Sprintf("an answer with status %d and no error code of KMS; is there a proxy on the way?", status)
	} else if status != 0 {
		return "the answer cannot be read"
	}
	if failure, ok := errors.AsType[*net.OpError](err); ok {
		return failure.Error()
	}
	return "no answer; check the client's endpoint, network and credentials"
}

// printable returns an error code if it has the form of one.
func printable(code string) string {
	notLetter := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	if len(code) > 64 || strings.ContainsFunc(code, notLetter) {
		return "an error code that KMS does not have"
	}
	return code
}
