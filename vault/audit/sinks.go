package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/batch"
)

// FileSink is a [Sink] and [Checker] that appends one line of JSON for each entry to a
// file: the tenant and the members of [Record]. An entry is on disk when Record returns.
// Concurrent calls share one fsync. A FileSink is safe for concurrent use.
//
// After a crash or a write error, the file may end with an incomplete line. The next
// entry starts on a new line. If the vault then passes entries again, some may have two
// lines, with the same tenant and number.
//
// If the file is deleted, the next entry goes to a new file with its name.
type FileSink struct {
	path  string
	lines *batch.Group[[]byte]

	mu      sync.Mutex // never held during reads and writes
	closed  bool
	writing bool
	file    *os.File
	replace *os.File // replaces file at the end of the write under way, or nil
	ragged  bool     // file may end without a line break
}

const (
	// maxWaiting is the most calls that wait for a slow disk, and maxTogether the
	// most calls whose lines are written together.
	maxWaiting  = 10_000
	maxTogether = 1_000
)

// fileLine is a line of a FileSink.
type fileLine struct {
	Tenant string `json:"tenant"`
	Record
}

var (
	errSinkClosed = errors.New("the audit file is closed")
	errSinkBehind = fmt.Errorf("%d calls are already waiting for the disk", maxWaiting)
)

// NewFileSink returns a sink that appends to the file at path. If the file does not
// exist, it creates it with mode 0600; it keeps the mode of an existing file. The caller
// closes the sink. The error is that of the file system, or reports that path is empty
// or not a regular file.
func NewFileSink(path string) (*FileSink, error) {
	file, err := openAudit(path)
	if err != nil {
		return nil, err
	}
	s := &FileSink{path: path, file: file, ragged: true}
	s.lines = &batch.Group[[]byte]{Commit: s.write, Most: maxTogether, MostWaiting: maxWaiting}
	return s, nil
}

// openAudit opens an audit file for appending. It syncs the folder of a new file, so
// that the file exists after a crash.
func openAudit(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("audit file: the path is empty; set it to the file to append to")
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("audit file %q is not a regular file", path)
	}
	isNew := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	if isNew {
		atomicfile.SyncFolder(filepath.Dir(path))
	}
	return file, nil
}

// Record implements [Sink]. It blocks until the entries are on disk or ctx ends; entries
// whose write has begun are still written. Record fails if the write fails, after
// Close, and while 10,000 calls are waiting for the disk.
func (s *FileSink) Record(ctx context.Context, tenant string, entries []Record) error {
	var lines []byte
	for _, e := range entries {
		text, err := json.Marshal(fileLine{tenant, e})
		if err != nil {
			return fmt.Errorf("recording to audit file %q: %w", s.path, err)
		}
		lines = append(append(lines, text...), '\n')
	}
	if err := s.append(ctx, lines); err != nil {
		return fmt.Errorf("recording to audit file %q: %w", s.path, err)
	}
	return nil
}

// Check implements [Checker]: it waits for the entries before it, as Record does, and
// syncs the file. On Linux it also reserves disk space for the next entries, which does
// not change the file's content or size. It fails as Record does.
func (s *FileSink) Check(ctx context.Context) error {
	if err := s.append(ctx, nil); err != nil {
		return fmt.Errorf("checking audit file %q: %w", s.path, err)
	}
	return nil
}

// append appends lines to the file. Without lines, it checks the file.
func (s *FileSink) append(ctx context.Context, lines []byte) error {
	err := s.lines.Do(ctx, lines)
	switch {
	case errors.Is(err, batch.ErrClosed):
		return errSinkClosed
	case errors.Is(err, batch.ErrFull):
		return errSinkBehind
	}
	return err
}

// write appends the lines of several calls to the file and syncs them.
func (s *FileSink) write(_ context.Context, calls [][]byte) (written int, err error) {
	s.mu.Lock()
	s.writing = true
	file, ragged := s.file, s.ragged
	s.mu.Unlock()

	var fresh *os.File
	if deleted(file) {
		if fresh, err = openAudit(s.path); err == nil {
			file, ragged = fresh, true
		}
	}
	lines := bytes.Join(calls, nil)
	if err == nil {
		err = writeLines(file, lines, ragged)
	}

	s.mu.Lock()
	s.writing, s.ragged = false, err != nil || ragged && len(lines) == 0
	var old []*os.File
	if fresh != nil {
		old = append(old, s.file)
		s.file = fresh
	}
	if s.replace != nil {
		old = append(old, s.put(s.replace))
		s.replace = nil
	}
	s.mu.Unlock()
	for _, file := range old {
		_ = file.Close() // its lines are synced
	}
	if err != nil {
		return 0, err
	}
	return len(calls), nil
}

// put makes file the current one and returns the previous one. The caller holds the
// lock.
func (s *FileSink) put(file *os.File) (old *os.File) {
	old, s.file, s.ragged = s.file, file, true
	return old
}

// writeLines appends lines and syncs them. ragged is true if the file may end without a
// line break. Without lines, it reserves space instead.
func writeLines(file *os.File, lines []byte, ragged bool) error {
	if len(lines) == 0 {
		if err := reserve(file); err != nil {
			return err
		}
		return file.Sync()
	}
	if ragged && !endsLine(file) {
		lines = append([]byte{'\n'}, lines...)
	}
	if _, err := file.Write(lines); err != nil {
		return err
	}
	return file.Sync()
}

// endsLine reports whether file is empty or ends in a line break.
func endsLine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil {
		return false
	}
	if info.Size() == 0 {
		return true
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] == '\n'
}

// Reopen opens the path again, for log rotation: rename the file, then call Reopen, and
// later entries go to a new file. If the path cannot be opened, the sink keeps the
// current file. Reopen fails after Close. If closing the old file fails, Reopen returns
// the error but uses the new file.
func (s *FileSink) Reopen() error {
	file, err := openAudit(s.path)
	if err != nil {
		return fmt.Errorf("reopening: %w", err)
	}
	old, err := s.change(file)
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return fmt.Errorf("reopening audit file %q: %w", s.path, err)
	}
	return nil
}

// change makes file the current one, at the end of the write under way if there is one.
// It returns the file that is no longer needed, or nil.
func (s *FileSink) change(file *os.File) (old *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return file, errSinkClosed
	case s.writing:
		old, s.replace = s.replace, file // write switches to it and closes the other
		return old, nil
	}
	return s.put(file), nil
}

// Close waits until the entries being recorded are on disk, and closes the file. Later
// calls of Record and Reopen fail. The error is that of closing the file; a second
// Close returns nil.
func (s *FileSink) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.lines.Close()
	return s.file.Close()
}

// NewSlogSink returns a sink that logs each entry as one record at level INFO, with the
// message "audit" and the time of the entry. Its Record fails if the handler of the
// logger fails or drops that level, and its Check if it drops that level. A nil log
// means slog.Default().
func NewSlogSink(log *slog.Logger) Sink {
	return &slogSink{log: cmp.Or(log, slog.Default())}
}

type slogSink struct{ log *slog.Logger }

var errLevelDropped = errors.New("the logger drops records at level INFO; enable that level or use another logger")

// Record implements [Sink].
func (s *slogSink) Record(ctx context.Context, tenant string, entries []Record) error {
	for _, e := range entries {
		if err := s.Check(ctx); err != nil {
			return err
		}
		if err := s.log.Handler().Handle(ctx, slogRecord(tenant, e)); err != nil {
			return err
		}
	}
	return nil
}

// Check implements [Checker].
func (s *slogSink) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.log.Handler().Enabled(ctx, slog.LevelInfo) {
		return errLevelDropped
	}
	return nil
}

// slogRecord returns the log record of an entry.
func slogRecord(tenant string, e Record) slog.Record {
	r := slog.NewRecord(e.Time, slog.LevelInfo, "audit", 0)
	r.AddAttrs(slog.String("tenant", tenant), slog.Int64("seq", e.Seq), slog.String("action", string(e.Action)))
	for _, attr := range []slog.Attr{
		slog.String("actor", e.Actor), slog.String("scope", e.Scope), slog.String("name", e.Name), slog.Int64("version", e.Version),
		slog.String("token", e.Token), slog.String("runner", e.Runner), slog.String("addr", e.Addr), slog.String("reason", e.Reason),
		slog.Int64("through", e.Through), slog.String("head", e.Head),
	} {
		if attr.Value.Kind() == slog.KindString && attr.Value.String() != "" || attr.Value.Kind() == slog.KindInt64 && attr.Value.Int64() != 0 {
			r.AddAttrs(attr)
		}
	}
	if len(e.Delivered) > 0 {
		r.AddAttrs(slog.Any("delivered", e.Delivered))
	}
	return r
}
