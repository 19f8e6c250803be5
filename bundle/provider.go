package bundle

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A Provider is a source of secrets.
//
// Fetch consults the source each time: providers do not cache. last is the
// bundle that this provider returned before, or nil; a provider that can tell
// that nothing has changed returns last itself, and may use last's revision to
// ask its source for no more. An error that tells the caller how to go on is a
// *[FetchError]. Fetch returns soon after ctx ends.
//
// Providers are safe for concurrent use. One that implements [fmt.Stringer]
// says in a few words what it is, such as "dotenv .env"; logs and errors use
// that. Package providertest checks an implementation.
type Provider interface {
	Fetch(ctx context.Context, last *Bundle) (*Bundle, error)
}

// A Waiter is a Provider that can tell when its source changes. Wait blocks
// until the source differs from last, and returns the bundle that it then
// holds, or until ctx ends, and returns an error. It may return last itself
// when it has waited as long as its source allows.
type Waiter interface {
	Provider
	Wait(ctx context.Context, last *Bundle) (*Bundle, error)
}

// A Checker is a Provider that can examine itself for the readiness report. It
// fetches at most once and returns what it fetched, if anything, with an item
// for everything that it looked at.
type Checker interface {
	Provider
	Check(ctx context.Context) (*Bundle, []CheckItem)
}

// CheckItem is one line of a readiness report.
type CheckItem struct {
	// Name says what was looked at.
	Name   string
	Status CheckStatus
	// Detail says what was found, and Fix what to do about it.
	Detail, Fix string
	// Err is the error that the item reports, or nil. A [Fault] in it lets a
	// program print the item in its own words; see Parts.
	Err error
}

// Parts returns Detail and Fix in the words of a program, as [Fault.Parts] does
// with a Fault.
func (i CheckItem) Parts(name func(setting string) string) (detail, fix string) {
	detail, fix = i.Detail, i.Fix
	for f := range faults(i.Err) {
		problemInGo, fixInGo := f.Parts(nil)
		problem, fixed := f.Parts(name)
		detail = replace(replace(detail, f.Error(), f.Text(name)), problemInGo, problem)
		fix = replace(fix, fixInGo, fixed)
	}
	return detail, fix
}

// CheckStatus is the outcome of one check.
type CheckStatus int

const (
	CheckOK CheckStatus = iota
	// CheckWarning is for what works and deserves attention.
	CheckWarning
	CheckFailed
)

// String returns "ok", "warning" or "failed".
func (s CheckStatus) String() string {
	switch s {
	case CheckOK:
		return "ok"
	case CheckWarning:
		return "warning"
	case CheckFailed:
		return "failed"
	}
	return fmt.Sprintf("CheckStatus(%d)", int(s))
}

// FetchError is a failure to fetch that tells the caller how to go on. An
// error that is none counts as FetchUnavailable.
type FetchError struct {
	Kind FetchKind
	// RetryAfter is how long the source asked to be left alone, or zero.
	RetryAfter time.Duration
	// Err is the cause, without values.
	Err error
}

// FetchKind says what a failed fetch means for the next one.
type FetchKind int

const (
	// FetchUnavailable may go away by itself: keep what there is and retry.
	FetchUnavailable FetchKind = iota
	// FetchPermanent needs somebody to act, on a malformed file say: retrying
	// does not help.
	FetchPermanent
	// FetchRevoked means that the source has withdrawn the secrets: stop using
	// them.
	FetchRevoked
)

// String returns "unavailable", "permanent" or "revoked".
func (k FetchKind) String() string {
	switch k {
	case FetchUnavailable:
		return "unavailable"
	case FetchPermanent:
		return "permanent"
	case FetchRevoked:
		return "revoked"
	}
	return fmt.Sprintf("FetchKind(%d)", int(k))
}

// Error returns the text of the cause.
func (e *FetchError) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// optionalRetry is when a source that failed at first is asked again.
const optionalRetry = time.Minute

// Optional returns a provider whose first fetch need not succeed: where
// nothing was fetched before, a failure of p becomes a [Problem] in an empty
// bundle that asks for a refresh after a minute. Later failures are returned
// as they are, so that the caller keeps what it has. So is the end of the
// context, unless its cause is a *[FetchError]: then the caller has cut off an
// attempt that took too long, and that is a failure of p.
//
// The answer is a [Waiter] and a [Checker] if p is one. What p's check calls
// failed is then a warning. Optional of nil, or of a nil
// pointer, is nil, which no client takes.
func Optional(p Provider) Provider {
	if v := reflect.ValueOf(p); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	o := optional{p}
	w, waits := p.(Waiter)
	c, checks := p.(Checker)
	switch {
	case waits && checks:
		return struct {
			optional
			optionalWaiter
			optionalChecker
		}{o, optionalWaiter{w}, optionalChecker{c}}
	case waits:
		return struct {
			optional
			optionalWaiter
		}{o, optionalWaiter{w}}
	case checks:
		return struct {
			optional
			optionalChecker
		}{o, optionalChecker{c}}
	}
	return o
}

type optional struct{ p Provider }

func (o optional) Fetch(ctx context.Context, last *Bundle) (*Bundle, error) {
	b, err := o.p.Fetch(ctx, fetched(last))
	if err == nil || last != nil {
		return b, err
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if _, cutOff := errors.AsType[*FetchError](cause); !cutOff {
			return b, err
		}
		if !errors.Is(err, cause) { // which package http returns
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	var kind FetchKind
	if e, ok := errors.AsType[*FetchError](err); ok {
		kind = e.Kind
	}
	return &Bundle{standIn: true, meta: Meta{
		RefreshAfter: optionalRetry,
		Problems:     []Problem{{Origin: Origin{Provider: o.String()}, Reason: err.Error(), Retryable: kind == FetchUnavailable}},
	}}, nil
}

// String names the provider behind.
func (o optional) String() string {
	if named, ok := o.p.(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprintf("%T", o.p)
}

// fetched returns last, or nil if no provider ever returned it.
func fetched(last *Bundle) *Bundle {
	if last != nil && last.standIn {
		return nil
	}
	return last
}

type optionalWaiter struct{ w Waiter }

func (o optionalWaiter) Wait(ctx context.Context, last *Bundle) (*Bundle, error) {
	return o.w.Wait(ctx, fetched(last))
}

type optionalChecker struct{ c Checker }

// Check turns failures into warnings: a first fetch that fails stops nobody.
func (o optionalChecker) Check(ctx context.Context) (*Bundle, []CheckItem) {
	b, items := o.c.Check(ctx)
	items = slices.Clone(items)
	for i := range items {
		if items[i].Status == CheckFailed {
			items[i].Status = CheckWarning
		}
	}
	return b, items
}
