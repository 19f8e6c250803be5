package bundle

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A Provider is a source of secrets. Providers are safe for concurrent use.
//
// A provider that implements [fmt.Stringer] describes itself in a few words, such
// as "dotenv .env", for logs and errors. Package providertest checks an
// implementation.
type Provider interface {
	// Fetch returns the current bundle of the source. It consults the source
	// each time; providers do not cache. last is the bundle that this provider
	// returned before, or nil. A provider that can tell that nothing has changed
	// returns last itself, and may send the revision of last to its source to
	// save the transfer. A *[FetchError] tells the caller how to proceed; other
	// errors count as [FetchUnavailable]. Fetch returns soon after ctx is done.
	Fetch(ctx context.Context, last *Bundle) (*Bundle, error)
}

// A Waiter is a Provider that notices changes of its source.
type Waiter interface {
	Provider
	// Wait blocks until the source differs from last, and returns its current
	// bundle, or until ctx is done, and returns an error. It may return last
	// itself after the longest wait that its source allows. A source that has
	// become unusable differs too, even if it became so before the call: Wait returns
	// the error, unless Fetch or Wait has returned one for last already.
	Wait(ctx context.Context, last *Bundle) (*Bundle, error)
}

// A Checker is a Provider that can check its own configuration and source for the
// readiness report.
type Checker interface {
	Provider
	// Check fetches at most once. It returns the fetched bundle, or nil, and an
	// item for each thing that it checked; failures are items too.
	Check(ctx context.Context) (*Bundle, []CheckItem)
}

// CheckItem is one line of a readiness report.
type CheckItem struct {
	// Name names the thing that was checked.
	Name string
	// Status is the outcome.
	Status CheckStatus
	// Detail describes the finding, Fix the remedy. Either may be empty.
	Detail, Fix string
	// Err is the error that the item reports, or nil. A [Fault] in it lets a
	// program print the item in its own terms; see [CheckItem.Parts].
	Err error
}

// Parts returns Detail and Fix in the terms of a program, with settings named by
// name as in [Fault.Parts].
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
	// CheckOK is the status of a check that passed.
	CheckOK CheckStatus = iota
	// CheckWarning is the status of a check that passed but needs attention.
	CheckWarning
	// CheckFailed is the status of a check that failed.
	CheckFailed
)

// String returns "ok", "warning" or "failed", and the number for other values.
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

// FetchError is the error of a fetch that tells the caller how to proceed. Any
// other error counts as a FetchError of kind [FetchUnavailable].
type FetchError struct {
	// Kind is the class of the failure. Default: [FetchUnavailable].
	Kind FetchKind
	// RetryAfter is the minimum pause before the next attempt, as requested by the
	// source. Default: 0, for no request.
	RetryAfter time.Duration
	// Confirm is how long a source that withdraws the secrets must continue to do so
	// before a client discards them. It is for an answer that a source may also give
	// by mistake, for example after it has lost its data. It applies to [FetchRevoked] only.
	// Default: 0, the first answer counts.
	Confirm time.Duration
	// Err is the cause. Its text holds no secret value. Default: nil; the text
	// of the FetchError is then that of Kind.
	Err error
}

// FetchKind classifies a failed fetch by its consequence.
type FetchKind int

const (
	// FetchUnavailable is a failure that may go away without a fix: keep the
	// current secrets and retry.
	FetchUnavailable FetchKind = iota
	// FetchPermanent is a failure that needs a fix, such as a malformed file:
	// retrying does not help.
	FetchPermanent
	// FetchRevoked means that the source has withdrawn the secrets: stop using
	// them.
	FetchRevoked
)

// String returns "unavailable", "permanent" or "revoked", and the number for
// other values.
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

// Error returns the text of the cause or, without one, that of the kind.
func (e *FetchError) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Err.Error()
}

// Unwrap returns the cause, which may be nil.
func (e *FetchError) Unwrap() error { return e.Err }

// optionalRetry is the pause before the second attempt on a source that failed
// at first. A client varies it by up to a tenth, within a minute.
const optionalRetry = 50 * time.Second

// Optional returns a provider whose first fetch may fail: if last is nil, a
// failure of p becomes a [Problem] in an empty bundle that asks for a refresh
// within a minute. Later failures are returned unchanged, so that the caller keeps
// its current secrets. If ctx is done, its error is returned too, unless its
// cause is a *[FetchError]: the caller has then cut off an attempt that took too
// long, which counts as a failure of p.
//
// The result implements [Waiter] and [Checker] if p does. Its Check reports
// failures as warnings. For nil or a nil pointer, Optional returns nil, which
// clients reject.
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
		if !errors.Is(err, cause) { // package http returns the cause
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

// String returns the name of the wrapped provider.
func (o optional) String() string {
	if named, ok := o.p.(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprintf("%T", o.p)
}

// fetched returns last, or nil if it is a stand-in that no provider returned.
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

// Check turns failures into warnings, because a failed first fetch is tolerated.
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
