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
	// Interval is the longest time between two refreshes of a layer that
	// works. A bundle may bring the next one forward: it asks for one with
	// RefreshAfter, or has a secret that expires soon. [Client.Run] has the
	// rule. More than a year counts as a year. Default: 15 minutes.
	Interval time.Duration
	// Timeout is how long one fetch may take before it counts as failed.
	// Default: one minute.
	Timeout time.Duration
	// MaxStale is the age from which a layer that was not refreshed counts as
	// [Outdated]. It changes what the client says and not what it holds.
	// Default: 24 hours, or twice the Interval where that is longer.
	MaxStale time.Duration
	// OnRevoked is asked whether a layer keeps its secrets although its source
	// has withdrawn them: once for each time that this happens. The layer is
	// [Revoked] either way. It runs while the layer waits, so it must return
	// soon, and must not call Refresh. Default: they leave the bundle at once.
	OnRevoked func(layer string, err error) (keep bool)
	// Require names secrets that the program cannot do without: [New] fails with
	// a [*bundle.MissingError] if the bundle does not have all of them. An empty value
	// is there. Default: none.
	Require []string
	// Grace is how long a value of [Derive] stays open after it was replaced.
	// Default: one minute.
	Grace time.Duration
	// Redactor, if there is one, is kept up to date: it gets each new bundle
	// before Bundle returns it, so that a log handler made with it masks all that
	// the client holds. What was rotated away, withdrawn or has expired stays
	// masked for a while: see [redact.Options]. A redactor is for one client.
	// Default: none.
	Redactor *redact.Redactor
	// Logger gets a line for each change of a layer's state and of the secrets,
	// one when a value begins to hide that of an earlier layer, with how to end
	// that, and one a day while a layer's token has to be rotated; and at debug
	// level one for every attempt, and the names and origins of the secrets. It
	// never gets a value.
	// Default: slog.Default().
	Logger *slog.Logger
	// Observer is told what happens, for metrics. Default: nobody is.
	Observer Observer
}

// Observer is a set of functions that a [Client] calls when something happens;
// any of them may be nil. They are called one at a time in the order of events,
// and after the event: the client's methods show at least that already. They
// must return soon and must not call [Client.Refresh].
type Observer struct {
	// Fetched is called after every fetch with the time that it took.
	Fetched func(layer string, took time.Duration, err error)
	// Waiting is called while [New] waits for a layer: after each attempt that
	// failed and is going to be repeated. The log then says nothing of first
	// fetches that failed.
	Waiting func(layer string, err error)
	// Changed is called when the bundle holds other secrets than before. The
	// first bundle is no change.
	Changed func(diff bundle.Diff)
	// StateChanged is called when a layer goes from one state to another.
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
