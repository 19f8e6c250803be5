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

// patience is how long a call may take to notice that its context ended.
const patience = 10 * time.Second

// Run checks that a KEK keeps the contract of [keyring.KEK], each rule in a
// subtest of its own. newKEK returns a KEK whose key is named or described by
// id and is usable until t ends. It gives KEKs of different ids different keys;
// the suite asks for at most two in one subtest, and never for the same twice.
//
// A KEK may also be a [Breaker]; the suite then checks that it gives each
// failure of its key service the right class.
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

// A Breaker is a KEK whose key service can be broken by a test. Break makes the
// service answer every call as it does for class: [keyring.ErrNoKey],
// [keyring.ErrKeyState], [keyring.ErrDenied] or [keyring.ErrUnavailable]. It
// reports false, and changes nothing, for a class that the service does not
// have. Break(nil) mends the service.
type Breaker interface {
	keyring.KEK
	Break(class error) bool
}

// A rule is one sentence of the contract. check returns an error that says how
// the KEK breaks it; it is a function without a testing.T so that the suite's
// own tests can show that it rejects a broken KEK.
type rule struct {
	name  string
	check func(ctx context.Context, newKEK func(id string) keyring.KEK) error
}

var rules = []rule{
	{"AWrappedKeyUnwraps", checkRoundTrip},
	{"TheIDIsConstant", checkID},
	{"AWrappedKeyNamesItsKEK", checkWrappedKey},
	{"TheBlobHidesTheKey", checkHidden},
	{"NoNonceComesTwice", checkUnrelated},
	{"ErrorsHideTheKey", checkErrors},
	{"AnotherContextIsRefused", checkOtherContext},
	{"ContextsThatJoinAlikeDiffer", checkJoinedContexts},
	{"ContextsThatLookAlikeDiffer", checkAlikeContexts},
	{"TheWholeOfAContextCounts", checkLongContexts},
	{"AnotherKeyIsRefused", checkOtherKey},
	{"AChangedBlobIsRefused", checkChangedBlob},
	{"GarbageIsRefusedWithAClass", checkGarbage},
	{"ArgumentsAreLeftAsTheyAre", checkArguments},
	{"NothingIsKeptOrShared", checkKept},
	{"AnEndedContextEndsTheCall", checkEndedContext},
	{"ManyCallersAtOnce", checkConcurrency},
}

// breakerRule is for a KEK that is a Breaker.
var breakerRule = rule{"EachFailureHasItsClass", checkClasses}

// catchPanic runs check, and reports a panic as a breach of the rule.
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

// serviceClasses are those that a Breaker may know.
var serviceClasses = []error{keyring.ErrNoKey, keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrUnavailable}

// checkRefused returns an error unless a call failed with one of the wanted classes
// and gave nothing out. It does not print what was given out.
func checkRefused(got []byte, err error, want ...error) error {
	if err == nil {
		return errors.New("it was unwrapped, and has to be refused")
	}
	if got != nil {
		return fmt.Errorf("it was refused and bytes were returned with the error %q; want nil", err)
	}
	for _, class := range want {
		if errors.Is(err, class) {
			return nil
		}
	}
	return fmt.Errorf("it was refused with %q, want an error that wraps one of %q", err, want)
}
