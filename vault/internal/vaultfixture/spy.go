package vaultfixture

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/satchelhq/satchel/vault/store"
)

// Failure is an error that a fake returns while the error is set. The zero value has no
// error. It is safe for concurrent use.
type Failure struct{ err atomic.Pointer[error] }

// Set sets the error, or clears it if err is nil.
func (f *Failure) Set(err error) {
	if err == nil {
		f.err.Store(nil)
		return
	}
	f.err.Store(&err)
}

// Err returns the error that was set last, or nil.
func (f *Failure) Err() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Spy is a [store.Store] that counts the calls to another one, and fails on demand. It
// is safe for concurrent use.
type Spy struct {
	store.Store
	// Reads, Applies, Touches, Polls and Pings count the calls of Read, Apply, Touch,
	// Changes and Ping, failed ones included.
	Reads, Applies, Touches, Polls, Pings atomic.Int64
	// Touched counts the uses that were passed to Touch.
	Touched atomic.Int64
	// Appended counts the audit entries that were passed to Apply.
	Appended atomic.Int64
	// Down makes every counted call fail, and Tenants.
	Down Failure
	// FailApply makes Apply and Ping fail.
	FailApply Failure
	// FailTouch makes Touch fail.
	FailTouch Failure

	edit atomic.Pointer[func(store.Query, *store.Snapshot)]
}

// Calls returns the number of counted calls.
func (s *Spy) Calls() int64 {
	return s.Reads.Load() + s.Applies.Load() + s.Touches.Load() + s.Polls.Load() + s.Pings.Load()
}

// OnRead sets a function that can inspect and edit each snapshot that Read returns from
// then on. Empty snapshots and the reads of audit heads are left out.
func (s *Spy) OnRead(edit func(store.Query, *store.Snapshot)) { s.edit.Store(&edit) }

// Meanwhile calls do once, during the n-th following Read. It replaces the function of
// OnRead.
func (s *Spy) Meanwhile(n int64, do func()) {
	var reads atomic.Int64
	s.OnRead(func(store.Query, *store.Snapshot) {
		if reads.Add(1) == n {
			do()
		}
	})
}

// Read implements [store.Store].
func (s *Spy) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	s.Reads.Add(1)
	if err := s.Down.Err(); err != nil {
		return nil, err
	}
	snap, err := s.Store.Read(ctx, q)
	auditHead := q.SealsOnly && q.AuditHead // for appending an audit entry
	if edit := s.edit.Load(); edit != nil && err == nil && len(snap.Path) > 0 && !auditHead {
		(*edit)(q, snap)
	}
	return snap, err
}

// Apply implements [store.Store].
func (s *Spy) Apply(ctx context.Context, c *store.Change) error {
	s.Applies.Add(1)
	s.Appended.Add(int64(len(c.Append)))
	if err := cmp.Or(s.FailApply.Err(), s.Down.Err()); err != nil {
		return err
	}
	return s.Store.Apply(ctx, c)
}

// Touch implements [store.Store].
func (s *Spy) Touch(ctx context.Context, uses []store.Usage) error {
	s.Touches.Add(1)
	s.Touched.Add(int64(len(uses)))
	if err := cmp.Or(s.FailTouch.Err(), s.Down.Err()); err != nil {
		return err
	}
	return s.Store.Touch(ctx, uses)
}

// Changes implements [store.Store].
func (s *Spy) Changes(ctx context.Context, since int64) (int64, []string, error) {
	s.Polls.Add(1)
	if err := s.Down.Err(); err != nil {
		return 0, nil, err
	}
	return s.Store.Changes(ctx, since)
}

// Tenants implements [store.Store].
func (s *Spy) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	if err := s.Down.Err(); err != nil {
		return nil, err
	}
	return s.Store.Tenants(ctx, after, limit)
}

// Ping implements [store.Store].
func (s *Spy) Ping(ctx context.Context) error {
	s.Pings.Add(1)
	if err := cmp.Or(s.FailApply.Err(), s.Down.Err()); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}

// Logbook keeps log records of every level as text. It is safe for concurrent use.
type Logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Logger returns a logger that writes to l.
func (l *Logbook) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write adds the text of a record. It never fails.
func (l *Logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// Text returns all records.
func (l *Logbook) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Reset removes all records.
func (l *Logbook) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
}

// Errors returns the number of records at level ERROR.
func (l *Logbook) Errors() int { return strings.Count(l.Text(), "level=ERROR") }
