package satchel

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

// Derived is a value built from secrets, and rebuilt when they change. [Derive]
// returns one. Its methods are safe for concurrent use.
type Derived[T any] struct{ d *derivation }

// Derive returns a value that build makes from the bundle's secrets, such as an
// HTTP client with a token. It is rebuilt when one of the named secrets changes:
// when its value or delivery changes, or when it is added or removed. Without
// names, any change of the bundle's secrets counts.
//
//	db := satchel.Derive(client, openDatabase, "DATABASE_URL")
//
// The first [Derived.Get] or [Derived.Use] builds the value. From then on,
// [Client.Run] rebuilds it after a change; Get and Use do so if Run has not yet.
// Get, Use and the end of Run wait for build, so build must return soon. It must
// not call Get or Use of the value that it builds. Calls of build never overlap.
//
// If build fails and an earlier value exists, that value stays in use: stale is
// better than nothing. [Client.Status] has the error, and the log gets a line when
// the failure begins and when it ends. The next attempt follows a change of the
// secrets or a back-off as in Run. If no value exists, every Get is an attempt.
// The error of build must not contain values; as a safeguard, values of the
// bundle's secrets are masked in Status and in the log.
//
// Run closes a replaced value that is an [io.Closer], after [Options.Grace] and
// when no Use of it remains. At its end, Run closes unused replaced values
// immediately, and the last Use closes the others. The current value then stays
// open and belongs to the program. Without Run, nothing is closed. If build
// returns an earlier closer again, that closer stays open.
//
// A Derived lives as long as its client: make one per resource, not one per
// request.
func Derive[T any](c *Client, build func(*bundle.Bundle) (T, error), names ...string) *Derived[T] {
	from := strings.Join(names, ", ")
	if from == "" {
		from = "all secrets"
	}
	d := &derivation{
		client: c,
		name:   fmt.Sprintf("%s from %s", reflect.TypeFor[T](), from),
		build:  func(b *bundle.Bundle) (any, error) { return build(b) },
		names:  slices.Clone(names),
		moved:  make(chan struct{}, 1),
	}
	c.mu.Lock()
	c.derived = append(c.derived, d)
	c.mu.Unlock()
	c.poke()
	return &Derived[T]{d}
}

// Get returns the value for the current secrets, and builds it if necessary. If
// build fails, Get returns the last good value and no error; it returns the error
// of build only if no value exists yet.
//
// The caller may use a value that is an [io.Closer] for [Options.Grace] after the
// call. Use [Derived.Use] for anything that takes longer.
func (d *Derived[T]) Get() (T, error) {
	value, _, err := d.d.hold(0)
	typed, _ := value.(T) // not ok if value is a nil interface
	return typed, err
}

// Use calls f with the value that [Derived.Get] returns. The value is not closed
// before f returns. Use returns the error of f, or the error of Get without
// calling f.
func (d *Derived[T]) Use(f func(T) error) error {
	value, held, err := d.d.hold(1)
	if err != nil {
		return err
	}
	defer d.d.release(held)
	typed, _ := value.(T)
	return f(typed)
}
