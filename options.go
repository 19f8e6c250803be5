package satchel

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// Options are the settings of a [Client].
type Options struct {
	// Interval is the longest time between two refreshes of a working layer. A
	// bundle may bring the next refresh forward, with RefreshAfter or with a secret
	// that expires soon; see [Client.Run]. More than a year counts as a year.
	// Default: 15 minutes.
	Interval time.Duration
	// Timeout is how long one fetch may take before it counts as failed.
	// Default: one minute.
	Timeout time.Duration
	// MaxStale is the age at which a layer that was not refreshed becomes
	// [Outdated]. It affects the reported state, not the secrets.
	// Default: 24 hours, or twice the Interval if that is longer.
	MaxStale time.Duration
	// OnRevoked decides whether a layer keeps its secrets after its source has
	// withdrawn them. It is called once for each revocation. The layer is [Revoked]
	// either way. The layer waits for OnRevoked, so it must return soon, and it must
	// not call Refresh. Default: the secrets leave the bundle immediately.
	OnRevoked func(layer string, err error) (keep bool)
	// Require names secrets that the program needs: [New] fails with a
	// [*bundle.MissingError] if the bundle lacks one. An empty value counts as
	// present. Default: none.
	Require []string
	// Grace is how long a replaced value of [Derive] stays open.
	// Default: one minute.
	Grace time.Duration
	// Redactor is kept up to date as by [Client.Mask], from the first fetch on, so that
	// a log handler made with it masks all values that the client holds.
	// Default: none.
	Redactor *redact.Redactor
	// Logger gets a line for each change of a layer's state and of the secrets, a
	// line when a value begins to shadow one of an earlier layer, with the fix, and
	// one line a day while a layer's token must be rotated. At debug level, it also
	// gets a line for every attempt, and the names and origins of the secrets. It
	// never gets a value.
	// Default: slog.Default().
	Logger *slog.Logger
	// Observer is notified of events, for metrics. Default: no functions.
	Observer Observer
}

// Observer is a set of functions that a [Client] calls on events; any of them may
// be nil. They are called one at a time, in the order of the events and after the
// event: the client's methods already reflect it. They must return soon and must
// not call [Client.Refresh].
type Observer struct {
	// Fetched is called after every fetch that was not canceled, with its duration.
	// err is nil if the fetch succeeded. Default: none.
	Fetched func(layer string, took time.Duration, err error)
	// Waiting is called while [New] waits for a layer: after each failed attempt
	// that New will retry. The failure is then not logged. Default: none.
	Waiting func(layer string, err error)
	// Changed is called when the secrets in the bundle have changed. The first
	// bundle is not a change. Default: none.
	Changed func(diff bundle.Diff)
	// StateChanged is called when a layer's state changes. Default: none.
	StateChanged func(layer string, from, to State)
}

// withDefaults returns a copy of o, which may be nil, with every field set.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	for _, field := range []struct {
		name string
		d    time.Duration
	}{{"Interval", out.Interval}, {"Timeout", out.Timeout}, {"MaxStale", out.MaxStale}, {"Grace", out.Grace}} {
		if field.d < 0 {
			return Options{}, fmt.Errorf("option %s is %s; want a positive duration, or zero for the default", field.name, field.d)
		}
	}
	for _, name := range out.Require {
		if err := bundle.CheckName(name); err != nil {
			return Options{}, fmt.Errorf("option Require: %w", err)
		}
	}
	out.Interval = min(cmp.Or(out.Interval, 15*time.Minute), maxInterval)
	out.Timeout = cmp.Or(out.Timeout, time.Minute)
	out.MaxStale = cmp.Or(out.MaxStale, max(24*time.Hour, 2*out.Interval))
	out.Grace = cmp.Or(out.Grace, time.Minute)
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, nil
}
