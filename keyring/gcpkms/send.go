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

// tries is the maximum number of times a request is sent.
const tries = 3

// backoff gives the pauses between the attempts of a call: at most 100 ms, then at most
// 200 ms.
var backoff = gax.Backoff{Initial: 100 * time.Millisecond, Max: 400 * time.Millisecond}

// errDamaged means that the checksums of a response do not prove that it arrived
// intact, or that the service received the request intact.
var errDamaged = errors.New("checksum mismatch")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

// intact reports whether data is not empty and has checksum sum. A missing checksum is
// invalid, because its zero value is the checksum of empty data.
func intact(data []byte, sum *wrapperspb.Int64Value) bool {
	return len(data) > 0 && sum != nil && sum.Value == checksum(data).Value
}

// refusedAsDamaged reports whether the service found an invalid checksum in the
// request. The code is the same as for an invalid ciphertext, so only the text
// distinguishes them. If the text changed, the call would fail as tampered, without a
// retry.
func refusedAsDamaged(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.InvalidArgument && strings.HasPrefix(s.Message(), "The checksum in field ")
}

// attempts counts the remaining attempts of one call. It is also the client's
// [gax.Retryer], so that one count covers all reasons.
type attempts struct {
	left    int
	backoff gax.Backoff
}

// Retry returns the pause before the next attempt after err. It reports false if there
// is none.
func (a *attempts) Retry(err error) (pause time.Duration, again bool) {
	mayPass := errors.Is(err, errDamaged) || refusedAsDamaged(err) || status.Code(err) == codes.Unavailable
	if !mayPass || a.left == 0 {
		return 0, false
	}
	a.left--
	return a.backoff.Pause(), true
}

// send repeats a call until it succeeds, fails permanently, or has no attempts left.
// The call passes the option to the client, where it replaces the default retries.
func send(ctx context.Context, backoff gax.Backoff, call func(retry gax.CallOption) error) error {
	a := &attempts{left: tries - 1, backoff: backoff}
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
		// If ctx is done meanwhile, the next iteration returns its error.
		_ = gax.Sleep(ctx, pause)
	}
}
