package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"
)

var errNoReturn = errors.New("the KEK ended its goroutine instead of returning")

// A flight is one unwrap in progress, for any number of waiters. The cache's lock
// guards its fields. It does not use package shared because a cache lookup and
// joining a flight are one step, each waiter gets a counted reference to the key,
// and a flight without waiters is dropped only while it queues for a slot.
type flight struct {
	done     chan struct{}
	finished bool
	waiters  int
	began    bool               // it has a slot
	drop     context.CancelFunc // ends the wait for a slot
	key      *sharedKey         // with a reference for each waiter
	err      error
}

// A request is a record to open.
type request struct {
	id      [32]byte // in the cache
	rec     Record   // a copy
	c       Context  // the caller's; a flight makes a copy
	encoded []byte   // of c
}

// newRequest rejects an invalid context and a record that is too long. It does not
// parse the record.
func newRequest(rec Record, c Context) (request, error) {
	if len(rec) > maxRecordSize {
		return request{}, malformedRecord("too long")
	}
	b := make([]byte, 0, 4+len(rec)+256) // most contexts fit
	b = binary.BigEndian.AppendUint32(b, uint32(len(rec)))
	b = append(b, rec...)
	b, err := c.AppendTo(b)
	if err != nil {
		return request{}, err
	}
	end := 4 + len(rec)
	return request{id: sha256.Sum256(b), rec: b[4:end:end], c: c, encoded: b[end:]}, nil
}

// openShared returns the data key of a record with a reference for the caller.
func (k *Keyring) openShared(ctx context.Context, rec Record, c Context) (*sharedKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening key record: %w", err)
	}
	r, err := newRequest(rec, c)
	if err != nil {
		return nil, err
	}

	key, f, err := k.findOrFly(ctx, r)
	if f == nil {
		return key, err
	}
	select {
	case <-f.done:
		return f.key, f.err
	case <-ctx.Done():
		k.cache.leave(r.id, f)
		return nil, fmt.Errorf("opening key record: %w", ctx.Err())
	}
}

// findOrFly returns a cached key, a remembered failure, or a flight that counts the
// caller as a waiter.
func (k *Keyring) findOrFly(ctx context.Context, r request) (*sharedKey, *flight, error) {
	k.cache.mu.Lock()
	defer k.cache.mu.Unlock()
	key, advice, err := k.cache.find(r.id, time.Now())
	f, flying := k.cache.flights[r.id]
	if !flying && advice == renew {
		k.takeOff(ctx, r, true)
	}
	if advice != miss || err != nil {
		return key, nil, err
	}
	if !flying {
		if _, err := parseRecord(r.rec); err != nil {
			return nil, nil, err
		}
		f = k.takeOff(ctx, r, false)
	}
	f.waiters++
	return nil, f, nil
}

// takeOff starts a flight, which is detached from its first caller and copies that
// caller's arguments. Its call ends within callLimit after it gets a slot. A
// renewal, which has no waiters, ends within callLimit in total. The caller holds
// the cache's lock.
func (k *Keyring) takeOff(ctx context.Context, r request, renewal bool) *flight {
	ctx = context.WithoutCancel(ctx)
	var (
		queue    context.Context
		drop     context.CancelFunc
		deadline time.Time // zero: counted from the moment it has a slot
	)
	if renewal {
		deadline = time.Now().Add(callLimit)
		queue, drop = context.WithDeadline(ctx, deadline)
	} else {
		queue, drop = context.WithCancel(ctx)
	}
	f := &flight{done: make(chan struct{}), drop: drop}
	k.cache.flights[r.id] = f
	r.c = maps.Clone(r.c)
	go func() {
		defer drop()
		var key *sharedKey
		err := errNoReturn
		// Deferred, so that waiters return if the KEK ends its goroutine, as a failed
		// assertion in a test does.
		defer func() { k.cache.land(r, f, key, err) }()
		key, err = k.fly(ctx, queue, f, r, deadline)
	}()
	return f
}

// fly waits for a slot until queue is done, and then opens the record.
func (k *Keyring) fly(ctx, queue context.Context, f *flight, r request, deadline time.Time) (*sharedKey, error) {
	if err := k.acquire(queue); err != nil {
		return nil, fmt.Errorf("opening key record: %w: too many calls in flight", ErrUnavailable)
	}
	defer k.release()
	if !k.cache.begin(r.id, f) {
		return nil, context.Canceled
	}
	if deadline.IsZero() {
		deadline = time.Now().Add(callLimit)
	}
	return k.unwrap(ctx, deadline, r)
}

// begin reports whether a flight that got a slot is still wanted.
func (c *cache) begin(id [32]byte, f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.began = true
	return c.flights[id] == f
}

// land settles a flight and passes the outcome to its waiters. key has one
// reference, which belongs to the flight.
func (c *cache) land(r request, f *flight, key *sharedKey, err error) {
	warning := c.settleFlight(r.id, f, key, err)
	if warning != "" {
		keyID, _ := r.rec.ID()
		c.log.Warn(warning, "key_id", fmt.Sprintf("%x", keyID), "error", err)
	}
}

// settleFlight is the part of land that takes the lock.
func (c *cache) settleFlight(id [32]byte, f *flight, key *sharedKey, err error) (warning string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	f.finished = true
	if c.flights[id] != f {
		return "" // dropped before it began
	}
	delete(c.flights, id)
	now := time.Now()
	c.sweep(now)
	f.key, warning, f.err = c.settle(id, key, err, now)
	if f.key != nil {
		f.key.retain(f.waiters)
	}
	return warning
}

// leave removes a waiter. A flight without waiters is dropped if it has no slot
// yet; one that has begun continues, to fill the cache.
func (c *cache) leave(id [32]byte, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.finished {
		if f.key != nil {
			f.key.release()
		}
		return
	}
	f.waiters--
	if f.waiters == 0 && !f.began {
		delete(c.flights, id)
		f.drop()
	}
}
