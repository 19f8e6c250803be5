package gcpkms

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/satchelhq/satchel/keyring"
)

// classes are the classes of the gRPC codes of Cloud KMS.
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

	// Not the service's own: the connection or something on the way.
	codes.Unknown:  keyring.ErrUnavailable,
	codes.Canceled: keyring.ErrUnavailable,
	codes.DataLoss: keyring.ErrUnavailable,
}

// serviceError translates an error of the client into one of a class; invalid is
// the class of a request that the service calls invalid. It repeats the code and
// nothing else of what the server sent.
//
// A code that it does not know is denied: the service refused, asking again does
// not help, and a keyring goes on to its replicas and drops what it has cached.
func serviceError(err, invalid error) error {
	if errors.Is(err, errDamaged) || refusedAsDamaged(err) {
		return fmt.Errorf("%w: no answer with the right checksums in %d tries", keyring.ErrUnavailable, tries)
	}
	code := status.Code(err)
	class, ok := classes[code]
	switch {
	case code == codes.InvalidArgument:
		class = invalid
	case !ok:
		class = keyring.ErrDenied
	}
	if code == codes.Unavailable { // the client's own word for no connection, too
		return fmt.Errorf("%w: %s; if this persists, check the client's endpoint and network", class, code)
	}
	return fmt.Errorf("%w: %s", class, code)
}
