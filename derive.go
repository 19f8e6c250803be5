package satchel

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

// Derived is a value that is built from secrets, and built anew when they
// change. [Derive] returns one. Its methods are safe for concurrent use.
type Derived[T any] struct{ d *derivation }

// Derive returns a value that build makes of the bundle's secrets, such as an
// HTTP client with a token, and makes anew when one of names changes: when its
// value or its delivery does, when it arrives or when it leaves. Without names,
// any change counts.
//
//	db := satchel.Derive(client, openDatabase, "DATABASE_URL")
//
// Nothing is built before it is asked for. From then on [Client.Run] builds anew
// when it sees a change, and [Derived.Get] and [Derived.Use] do where it has not
// yet. They wait for that, and so does the end of Run: build must return soon,
// and must not ask for the value that it builds. It is not called twice at a
// time.
//
// If build fails where an earlier value exists, that one stays in use: stale is
// better than nothing. [Client.Status] has the error, and the log gets a line
// when that begins and when it ends. The next attempt follows a change of the
// secrets, or else a back-off as in Run. Where no value exists, every Get is an
// attempt. The error of build must not hold values; as a safeguard, those of the
// bundle's secrets are masked in Status and in the log.
//
// An [io.Closer] that was replaced is closed by Run, when [Options.Grace] has
// passed and no Use of it is left. If Run ends before, it closes at once what
// nobody uses, and the last Use closes the rest. The value that is current then
// stays open, and belongs to the program. Without Run nothing is closed. Build
// may return the closer that it returned before, which then stays open.
//
// A Derived lives as long as its client: make one for each thing, and not one
// for each request.
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

// Get returns the value for the secrets as they are now. After a failure to
// build, that is the last good one and no error; only where there has never been
// one, Get returns the error of build.
//
// A value that can be closed is safe to use for [Options.Grace] from now on.
// What takes longer belongs into [Derived.Use].
func (d *Derived[T]) Get() (T, error) {
	value, _, err := d.d.hold(0)
	typed, _ := value.(T) // a nil interface is none
	return typed, err
}

// Use calls f with the value that [Derived.Get] returns, and keeps it from being
// closed until f returns. The error is that of f, or that of Get if f was not
// called.
func (d *Derived[T]) Use(f func(T) error) error {
	value, held, err := d.d.hold(1)
	if err != nil {
		return err
	}
	defer d.d.release(held)
	typed, _ := value.(T)
	return f(typed)
}
