package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// patience is how long a call may take to return after its context is done.
const patience = 10 * time.Second

// Run checks that a KEK follows the contract of [keyring.KEK], with a subtest for each
// rule. newKEK returns a KEK for the key that id names, usable until t ends. Within a
// subtest, different IDs must name different keys. A subtest calls newKEK at most twice,
// with different IDs. Other subtests reuse these IDs; each may name the same key or a new
// one.
//
// If the KEK that newKEK returns is a [Breaker], the suite also checks that each
// failure of the key service has the right class.
func Run(t *testing.T, newKEK func(t *testing.T, id string) keyring.KEK) {
	suite := rules
	if _, ok := newKEK(t, "suite").(Breaker); ok {
		suite = append(slices.Clone(suite), breakerRule)
	}
	for _, r := range suite {
		t.Run(r.name, func(t *testing.T) {
			err := catchPanic(func() error {
				return r.check(t.Context(), func(id string) keyring.KEK { return newKEK(t, id) })
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A Breaker is a KEK whose key service a test can make fail.
type Breaker interface {
	keyring.KEK
	// Break makes every call fail with class, which is [keyring.ErrNoKey],
	// [keyring.ErrKeyState], [keyring.ErrDenied] or [keyring.ErrUnavailable]. If the
	// service has no such failure, Break returns false and changes nothing. Break(nil)
	// repairs the service.
	Break(class error) bool
}

// A rule is one requirement of the contract. check returns an error that describes the
// violation. It has no testing.T, so that the tests of the suite can show that it
// rejects a broken KEK.
type rule struct {
	name  string
	check func(ctx context.Context, newKEK func(id string) keyring.KEK) error
}

var rules = []rule{
	{"a wrapped key unwraps", checkRoundTrip},
	{"the ID is constant", checkID},
	{"a wrapped key names its KEK", checkWrappedKey},
	{"the blob does not show the key", checkHidden},
	{"no nonce repeats", checkUnrelated},
	{"errors do not show the key", checkErrors},
	{"another context is rejected", checkOtherContext},
	{"contexts that join alike differ", checkJoinedContexts},
	{"contexts that look alike differ", checkAlikeContexts},
	{"the entire context is bound", checkLongContexts},
	{"another key is rejected", checkOtherKey},
	{"a changed blob is rejected", checkChangedBlob},
	{"garbage is rejected with a class", checkGarbage},
	{"arguments stay unchanged", checkArguments},
	{"nothing is kept or shared", checkKept},
	{"a canceled context ends the call", checkEndedContext},
	{"many concurrent callers", checkConcurrency},
}

// breakerRule is for a KEK that is a Breaker.
var breakerRule = rule{"each failure has its class", checkClasses}

// catchPanic runs check and returns a panic as an error.
func catchPanic(check func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the KEK panicked: %v", p)
		}
	}()
	return check()
}

var classes = []error{
	keyring.ErrMalformed, keyring.ErrTampered, keyring.ErrNoKey,
	keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrUnavailable,
}

// serviceClasses are the classes that a Breaker may support.
var serviceClasses = []error{keyring.ErrNoKey, keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrUnavailable}

// checkRefused returns an error unless a call failed with one of the classes in want
// and returned nothing. It does not print the result.
func checkRefused(got []byte, err error, want ...error) error {
	if err == nil {
		return errors.New("Unwrap succeeded but must fail")
	}
	if got != nil {
		return fmt.Errorf("bytes were returned with the error %q; want nil", err)
	}
	for _, class := range want {
		if errors.Is(err, class) {
			return nil
		}
	}
	return fmt.Errorf("the error is %q, want an error that wraps one of %q", err, want)
}
