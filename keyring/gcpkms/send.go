package gcpkms

import (
	"context"
	"errors"
	"hash/crc32"
	"strings"
	"time"

	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// tries is how often a call is sent at most.
const tries = 3

// errDamaged means that an answer does not prove to be what the service sent, or
// that the service got what was sent to it.
var errDamaged = errors.New("checksum mismatch")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

// intact reports whether data is there and has the checksum that came with it. A
// checksum that is not there is a wrong one: its zero value is that of no data.
func intact(data []byte, sum *wrapperspb.Int64Value) bool {
	return len(data) > 0 && sum != nil && sum.Value == checksum(data).Value
}

// refusedAsDamaged reports whether the service found a checksum of the request
// to be wrong. It says so with the code of a bad request, so that its words are
// all there is to tell this from a bad ciphertext. If they were to change, the
// call would be refused as forged and not be tried again.
func refusedAsDamaged(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.InvalidArgument && strings.HasPrefix(s.Message(), "The checksum in field ")
}

// attempts is what is left of the tries of one call. It is the client's
// [gax.Retryer] too, so that there is one count for all reasons.
type attempts struct {
	left    int
	backoff gax.Backoff
}

// Retry returns how long to wait before the next try after err, if there is one.
func (a *attempts) Retry(err error) (pause time.Duration, again bool) {
	mayPass := errors.Is(err, errDamaged) || refusedAsDamaged(err) || status.Code(err) == codes.Unavailable
	if !mayPass || a.left == 0 {
		return 0, false
	}
	a.left--
	return a.backoff.Pause(), true
}

// send runs a call until it succeeds, fails for good, or has used up its tries.
// The call passes the option on to the client, in place of the client's own
// retries.
func send(ctx context.Context, call func(retry gax.CallOption) error) error {
	a := &attempts{left: tries - 1, backoff: gax.Backoff{Initial: 100 * time.Millisecond, Max: 400 * time.Millisecond}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := call(gax.WithRetry(func() gax.Retryer { return a }))
		if !errors.Is(err, errDamaged) {
			return err
		}
		pause, again := a.Retry(err)
		if !again {
			return err
		}
		// If ctx ends meanwhile, the next turn returns its error.
		_ = gax.Sleep(ctx, pause)
	}
}
