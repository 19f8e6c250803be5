package gcpkms

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/satchelhq/satchel/keyring"
)

// classes maps the gRPC codes of Cloud KMS to classes.
var classes = map[codes.Code]error{
	codes.NotFound: keyring.ErrNoKey,

	codes.FailedPrecondition: keyring.ErrKeyState,

	codes.PermissionDenied: keyring.ErrDenied,
	codes.Unauthenticated:  keyring.ErrDenied,

	codes.Unavailable:       keyring.ErrUnavailable,
	codes.ResourceExhausted: keyring.ErrUnavailable,
	codes.DeadlineExceeded:  keyring.ErrUnavailable,
	codes.Internal:          keyring.ErrUnavailable,
	codes.Aborted:           keyring.ErrUnavailable,

	// Not from the service, but from the connection or an intermediary. KMS implements
	// all its methods.
	codes.Unimplemented: keyring.ErrUnavailable,

	codes.Unknown:  keyring.ErrUnavailable,
	codes.Canceled: keyring.ErrUnavailable,
	codes.DataLoss: keyring.ErrUnavailable,
}

// serviceError translates an error of the client into one with a class. invalid is
// the class for InvalidArgument. From the response it quotes only the code.
//
// An unknown code is denied: a retry does not help, and a keyring then tries its
// replicas and drops the cached key. A code without a response is not from KMS: the
// client derives PermissionDenied and others from the status of a proxy's page, and
// Unauthenticated from a failure to get credentials.
func serviceError(err, invalid error) error {
	if errors.Is(err, errDamaged) || refusedAsDamaged(err) {
		return fmt.Errorf("%w: no response with valid checksums in %d attempts", keyring.ErrUnavailable, tries)
	}
	code := status.Code(err)
	class, ok := classes[code]
	switch {
	case code == codes.InvalidArgument:
		class = invalid
	case !ok:
		class = keyring.ErrDenied
	}
	if _, ok := errors.AsType[unanswered](err); ok && !errors.Is(class, keyring.ErrUnavailable) {
		return fmt.Errorf("%w: %s without a response of KMS; check the client's credentials and any proxy between this machine and KMS", keyring.ErrUnavailable, code)
	}
	if code == codes.Unavailable { // also the client's code for a failed connection
		return fmt.Errorf("%w: %s; if this persists, check the client's endpoint and network", class, code)
	}
	return fmt.Errorf("%w: %s", class, code)
}
