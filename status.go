package satchel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State tells how far a layer's secrets can be relied on. A greater state is
// worse.
type State int

const (
	// Fresh means that the last refresh succeeded.
	Fresh State = iota
	// Stale means that the last refresh failed: the layer keeps its last good
	// secrets. It also keeps them while their withdrawal is not confirmed; see
	// [bundle.FetchError.Confirm].
	Stale
	// Outdated means that no refresh succeeded for [Options.MaxStale]. The layer
	// keeps its last good secrets. Expired secrets leave the bundle in any state.
	Outdated
	// Revoked means that the source has withdrawn the secrets, and has confirmed it
	// where that is necessary. They have left the bundle, unless [Options.OnRevoked]
	// kept them.
	Revoked
)

// String returns "fresh", "stale", "outdated" or "revoked", and "State(n)" for any
// other value.
func (s State) String() string {
	switch s {
	case Fresh:
		return "fresh"
	case Stale:
		return "stale"
	case Outdated:
		return "outdated"
	case Revoked:
		return "revoked"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Status describes a client at one moment. It contains no values of secrets.
type Status struct {
	// State is the worst state of the layers.
	State State
	// Age is the greatest age of the layers.
	Age time.Duration
	// LastError joins the last errors of the layers, with their names. It is nil if
	// the last refresh of each layer succeeded.
	LastError error
	// Attempts is the largest number of failed attempts of the layers.
	Attempts int
	// NextRefresh is the earliest next refresh of the layers. It is zero without
	// layers.
	NextRefresh time.Time
	// Layers are in rising precedence, in the order of [New].
	Layers []LayerStatus
	// Derived are the values of [Derive], in the order of the calls. They do not
	// affect State and LastError, which are about the layers.
	Derived []DerivedStatus
}

// LayerStatus describes one layer.
type LayerStatus struct {
	// Name is the provider's String, or its type. Of several layers with the same
	// name, all but the first have a number, as in "env #2".
	Name string
	// State is the layer's state, as of now.
	State State
	// Age is the time since the last successful refresh.
	Age time.Duration
	// LastError is the error of the last refresh, or nil if it succeeded.
	LastError error
	// Attempts counts the failed refreshes since the last successful one.
	Attempts int
	// NextRefresh is when the next refresh is due. It may be in the past if
	// [Client.Run] does not run.
	NextRefresh time.Time
	// TokenExpires is when the token used for the source expires, or zero if that is
	// unknown or never.
	TokenExpires time.Time
	// TokenDue reports that this token should be rotated: the time that the source
	// set for the rotation has passed, or the token expires within seven days. See
	// [bundle.Meta.TokenDue].
	TokenDue bool
}

// DerivedStatus describes one value of [Derive].
type DerivedStatus struct {
	// Name is the type of the value and the names of the secrets, such as
	// "*sql.DB from DATABASE_URL".
	Name string
	// LastError is the error of the last call of build, if an earlier value is in
	// use because of it. Values of secrets are masked in it. It is nil if the call
	// succeeded, and also if there has been no value yet, because [Derived.Get] then
	// returns the error.
	LastError error
	// Attempts counts the consecutive failed calls.
	Attempts int
	// NextAttempt is when the next call is due if the secrets do not change. It is
	// zero if the last call succeeded.
	NextAttempt time.Time
}

// Status returns the current status of the client, its layers and its derived
// values. It waits for no fetch and no build.
func (c *Client) Status() Status {
	status := c.layerStatus()
	c.mu.Lock()
	derived := slices.Clone(c.derived)
	c.mu.Unlock()
	for _, d := range derived {
		status.Derived = append(status.Derived, d.status())
	}
	return status
}

// layerStatus returns the status without the derived values.
func (c *Client) layerStatus() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var status Status
	var errs []error
	for _, l := range c.layers {
		meta := l.bundle.Meta()
		s := LayerStatus{
			Name:        l.name,
			State:       l.stateAt(now, c.opts.MaxStale),
			Age:         max(0, now.Round(0).Sub(l.refreshed)),
			LastError:   l.err,
			Attempts:    l.attempts,
			NextRefresh: l.next,

			TokenExpires: meta.TokenExpires,
			TokenDue:     meta.TokenDue(now),
		}
		if l.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.name, l.err))
		}
		status.State = max(status.State, s.State)
		status.Age = max(status.Age, s.Age)
		status.Attempts = max(status.Attempts, s.Attempts)
		if status.NextRefresh.IsZero() || s.NextRefresh.Before(status.NextRefresh) {
			status.NextRefresh = s.NextRefresh
		}
		status.Layers = append(status.Layers, s)
	}
	status.LastError = errors.Join(errs...)
	return status
}

// String formats the status for people: the state, a line for each layer, and a
// line for each derived value that could not be rebuilt.
func (s Status) String() string {
	var out strings.Builder
	fmt.Fprint(&out, s.State)
	for _, l := range s.Layers {
		fmt.Fprintf(&out, "\n  %s", l)
	}
	for _, d := range s.Derived {
		if d.LastError != nil {
			fmt.Fprintf(&out, "\n  %s", d)
		}
	}
	return out.String()
}

// String returns one line, such as
//
//	dotenv .env: stale, refreshed 2h0m0s ago, 14 failed attempts, next in 4m0s: cause
func (s LayerStatus) String() string {
	line := fmt.Sprintf("%s: %s, refreshed %s ago", s.Name, s.State, s.Age.Round(time.Second))
	if s.TokenDue {
		line += ", rotate its token"
		if !s.TokenExpires.IsZero() {
			line += " before " + s.TokenExpires.UTC().Format("2006-01-02 15:04 MST")
		}
	}
	return line + trouble(s.Attempts, s.NextRefresh, s.LastError)
}

// String returns one line, such as
//
//	*sql.DB from DATABASE_URL: stale, 2 failed attempts, next in 3s: cause
func (s DerivedStatus) String() string {
	if s.LastError == nil {
		return s.Name + ": fresh"
	}
	return s.Name + ": stale" + trouble(s.Attempts, s.NextAttempt, s.LastError)
}

// trouble returns how often something failed, when the next attempt is due, and
// the error.
func trouble(attempts int, next time.Time, err error) string {
	var text string
	switch {
	case attempts == 1:
		text += ", 1 failed attempt"
	case attempts > 1:
		text += fmt.Sprintf(", %d failed attempts", attempts)
	}
	if wait := time.Until(next).Round(time.Second); wait > 0 {
		text += fmt.Sprintf(", next in %s", wait)
	} else {
		text += ", due now"
	}
	if err != nil {
		text += ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return text
}
