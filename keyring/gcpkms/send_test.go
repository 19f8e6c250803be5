package gcpkms_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/googleapis/gax-go/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/satchelhq/satchel/keyring/gcpkms"
)

func TestSend(t *testing.T) {
	damaged := gcpkms.ErrDamaged
	unavailable := status.Error(codes.Unavailable, "no connection")
	refused := status.Error(codes.InvalidArgument, "The checksum in field plaintext_crc32c did not match.")
	for name, failures := range map[string][]error{
		"a damaged response":                 {damaged, damaged, damaged},
		"a damaged request":                  {refused, refused, refused},
		"an outage":                          {unavailable, unavailable, unavailable},
		"an outage and a damaged response":   {unavailable, damaged, damaged},
		"a damaged response, then an outage": {damaged, unavailable, unavailable},
	} {
		t.Run("pauses between attempts after "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var attempts []time.Duration // since begin
				err := gcpkms.Send(t.Context(), gcpkms.Backoff, func(retry gax.CallOption) error {
					var failure error
					// Like the client, which does not see that a response is damaged.
					err := gax.Invoke(t.Context(), func(context.Context, gax.CallSettings) error {
						failure = failures[len(attempts)]
						attempts = append(attempts, time.Since(begin))
						if errors.Is(failure, damaged) {
							return nil
						}
						return failure
					}, retry)
					if err == nil {
						err = failure
					}
					return err
				})
				require.ErrorIs(t, err, failures[2], "the last failure is returned")
				require.Len(t, attempts, 3)
				require.Zero(t, attempts[0], "the first attempt does not wait")
				for i, longest := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
					pause := attempts[i+1] - attempts[i]
					require.Positive(t, pause)
					require.LessOrEqual(t, pause, longest)
				}
			})
		})
	}

	t.Run("ends a pause with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			calls := 0
			begin := time.Now()
			const long = 100_000 * time.Hour // the pause is random, up to this
			err := gcpkms.Send(ctx, gax.Backoff{Initial: long, Max: long}, func(gax.CallOption) error {
				calls++
				return damaged
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(begin))
			require.Equal(t, 1, calls)
		})
	})
}
