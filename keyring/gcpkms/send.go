package gcpkms

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
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

// mayPass reports whether another attempt may succeed after err.
func mayPass(err error) bool {
	return errors.Is(err, errDamaged) || refusedAsDamaged(err) || status.Code(err) == codes.Unavailable
}

// unanswered is an error without a gRPC response: the client derived its code from the
// HTTP status of a proxy's page, or got no credentials or no connection.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// attempt is the option of one request. It replaces the retries of the client, and
// records the metadata of the response.
type attempt struct{ header, trailer metadata.MD }

// Resolve implements [gax.CallOption]. It keeps the gRPC options of the client.
func (a *attempt) Resolve(settings *gax.CallSettings) {
	settings.Retry = nil
	settings.GRPC = append(slices.Clone(settings.GRPC), grpc.Header(&a.header), grpc.Trailer(&a.trailer))
}

// arrived reports whether a gRPC server responded. Its type is in the header, or in
// the trailer if that is all.
func (a *attempt) arrived() bool {
	const kind = "content-type"
	return len(a.header[kind])+len(a.trailer[kind]) > 0
}

// send repeats a call until it succeeds, fails permanently, or has no attempts left.
// The call passes the option to the client.
func send(ctx context.Context, backoff gax.Backoff, call func(gax.CallOption) error) error {
	for left := tries - 1; ; left-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		var a attempt
		err := call(&a)
		if err == nil {
			return nil
		}
		if !mayPass(err) || left == 0 {
			if !errors.Is(err, errDamaged) && !a.arrived() {
				err = unanswered{err}
			}
			return err
		}
		// If ctx is done meanwhile, the next iteration returns its error.
		_ = gax.Sleep(ctx, backoff.Pause())
	}
}
