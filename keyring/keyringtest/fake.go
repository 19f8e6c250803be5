package keyringtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// In strict FIPS 140 mode the random generator takes its first seed from the jitter of
// the clock, which stands still under testing/synctest. This line seeds it before the
// first test.
var _ = rand.Text()

// A Fake is an in-memory KEK with random keys. It counts its calls, and delays or fails
// them on demand. It follows the contract of [keyring.KEK], even while its settings
// change, and passes [Run]. All methods are safe for concurrent use. Under
// testing/synctest its delays use the clock of the bubble.
type Fake struct {
	id keyring.KEKID

	mu               sync.Mutex
	versions         []fakeVersion // the newest last
	delay            time.Duration
	wrapFailure      error
	unwrapFailure    error
	wraps, unwraps   int
	calls, mostCalls int
}

type fakeVersion struct{ id, key []byte }

// NewFake returns a KEK with the ID {"fake", id}, no delay and no failure. Each fake has
// a different key, even for the same id.
func NewFake(id string) *Fake {
	f := &Fake{id: keyring.KEKID{Service: "fake", Key: id}}
	f.Rotate()
	return f
}

// Rotate adds a version of the key, which Wrap uses from then on. Earlier versions
// continue to unwrap. The versions are "1", "2" and so on.
func (f *Fake) Rotate() {
	v := fakeVersion{id: make([]byte, 16), key: make([]byte, 32)}
	rand.Read(v.id)
	rand.Read(v.key)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions = append(f.versions, v)
}

// Break makes every call fail with class, such as [keyring.ErrUnavailable], until
// Break(nil), which also ends BreakWrap and BreakUnwrap. It implements [Breaker] and
// always returns true.
func (f *Fake) Break(class error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrapFailure, f.unwrapFailure = class, class
	return true
}

// BreakWrap makes Wrap fail with class until BreakWrap(nil). Unwrap is not affected.
func (f *Fake) BreakWrap(class error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrapFailure = class
}

// BreakUnwrap makes Unwrap fail with class until BreakUnwrap(nil). Wrap is not affected.
func (f *Fake) BreakUnwrap(class error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unwrapFailure = class
}

// Delay makes each later call take d, or less if its context is done first. Default:
// zero.
func (f *Fake) Delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Wraps returns the number of calls of Wrap, including failed and unfinished ones.
func (f *Fake) Wraps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wraps
}

// Unwraps returns the number of calls of Unwrap, including failed and unfinished ones.
func (f *Fake) Unwraps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unwraps
}

// MostCalls returns the largest number of concurrent calls so far.
func (f *Fake) MostCalls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mostCalls
}

// ID returns {"fake", id}.
func (f *Fake) ID() keyring.KEKID { return f.id }

// Wrap seals dek under the newest version, after the delay. Its error wraps the class
// that was set by then, or is that of ctx.
func (f *Fake) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	if err := f.call(ctx, &f.wraps, &f.wrapFailure); err != nil {
		return keyring.WrappedKey{}, err
	}
	f.mu.Lock()
	number, v := len(f.versions), f.versions[len(f.versions)-1]
	f.mu.Unlock()
	group, err := keyring.NewGroup(v.key, [16]byte(v.id), c)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	blob, err := group.Seal(nil, dek, nil)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: f.id, Version: strconv.Itoa(number), Blob: blob}, nil
}

// Unwrap opens a result of Wrap under any version, after the delay. Its error wraps the
// class that was set by then, or is that of ctx.
func (f *Fake) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if err := f.call(ctx, &f.unwraps, &f.unwrapFailure); err != nil {
		return nil, err
	}
	id, err := keyring.MessageKeyID(w.Blob)
	if err != nil {
		return nil, err
	}
	key, ok := f.version(id)
	if w.KEK != f.id || !ok {
		return nil, fmt.Errorf("fake %q: %w", f.id.Key, keyring.ErrNoKey)
	}
	group, err := keyring.NewGroup(key, id, c)
	if err != nil {
		return nil, err
	}
	return group.Open(nil, w.Blob, nil)
}

// version returns the key of the version with the given ID.
func (f *Fake) version(id [16]byte) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.versions {
		if [16]byte(v.id) == id {
			return v.key, true
		}
	}
	return nil, false
}

// call counts a call, waits for the delay, and returns the failure that is set after
// it.
func (f *Fake) call(ctx context.Context, count *int, failure *error) error {
	f.mu.Lock()
	*count++
	f.calls++
	f.mostCalls = max(f.mostCalls, f.calls)
	delay := f.delay
	f.mu.Unlock()

	err := wait(ctx, delay)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls--
	if err == nil && *failure != nil {
		err = fmt.Errorf("fake %q: %w", f.id.Key, *failure)
	}
	return err
}

// wait returns after d, or with the context's error when ctx is done first.
func wait(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
