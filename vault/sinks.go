package vault

import (
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
)

// FileSink is an [AuditSink] that appends to a file, one line of JSON for each
// entry: the tenant, and the members of [AuditEntry]. An entry is on disk when
// Record returns; those that arrive together share one fsync.
//
// After a crash or a full disk the file may end in the beginning of a line. The
// next entry starts a line of its own.
type FileSink struct {
	path string

	mu      sync.Mutex // never held during reads and writes
	closed  bool
	file    *os.File
	replace *os.File // takes the place of file before the next write, if there is one
	ragged  bool     // file may end without a line break
	waiting []*sinkLine
	idle    chan struct{} // closed when the writing ends; nil while nobody writes
}

// maxWaiting is how many lines a FileSink keeps at most for a disk that hangs.
const maxWaiting = 100_000

type sinkLine struct {
	text []byte
	done chan error // has room for one
}

// fileLine is a line of a FileSink.
type fileLine struct {
	Tenant string `json:"tenant"`
	AuditEntry
}

var (
	errSinkClosed = errors.New("the audit file is closed")
	errSinkBehind = fmt.Errorf("%d entries wait for the disk already", maxWaiting)
)

// NewFileSink returns a sink that appends to the file at path. It creates the
// file with mode 0600, and leaves the mode of one that exists. The caller
// closes the sink.
func NewFileSink(path string) (*FileSink, error) {
	file, err := openAudit(path)
	if err != nil {
		return nil, err
	}
	return &FileSink{path: path, file: file, ragged: true}, nil
}

// openAudit opens an audit file for appending, and makes sure that a new one is
// there after a crash.
func openAudit(path string) (*os.File, error) {
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
		syncFolder(filepath.Dir(path))
	}
	return file, nil
}

// syncFolder makes the names in a folder durable, where the system can.
func syncFolder(path string) {
	folder, err := os.Open(path)
	if err != nil {
		return
	}
	defer folder.Close()
	_ = folder.Sync() // some systems cannot sync folders
}

// Record implements [AuditSink].
func (s *FileSink) Record(ctx context.Context, tenant string, e AuditEntry) error {
	if err := s.record(ctx, tenant, e); err != nil {
		return fmt.Errorf("recording to audit file %q: %w", s.path, err)
	}
	return nil
}

func (s *FileSink) record(ctx context.Context, tenant string, e AuditEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	text, err := json.Marshal(fileLine{tenant, e})
	if err != nil {
		return err
	}
	line := &sinkLine{text: append(text, '\n'), done: make(chan error, 1)}
	if err := s.enqueue(line); err != nil {
		return err
	}
	select {
	case err := <-line.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enqueue leaves a line to the goroutine that writes, and starts it if there is
// none: a disk that hangs must not hold up those whose context ends. It ends
// when nothing waits.
func (s *FileSink) enqueue(line *sinkLine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errSinkClosed
	}
	if len(s.waiting) >= maxWaiting {
		return errSinkBehind
	}
	s.waiting = append(s.waiting, line)
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.write()
	}
	return nil
}

// write writes what waits until nothing does.
func (s *FileSink) write() {
	for {
		lines, file, old, ragged := s.take()
		if old != nil {
			_ = old.Close() // all that was recorded there is synced
		}
		if file == nil {
			return
		}
		err := writeLines(file, lines, ragged)
		s.mu.Lock()
		s.ragged = err != nil
		s.mu.Unlock()
		for _, line := range lines {
			line.done <- err
		}
	}
}

// take returns the lines that wait and the file that they go to; no file when
// the writing is over. old is a file that is of no more use.
func (s *FileSink) take() (lines []*sinkLine, file, old *os.File, ragged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replace != nil {
		old, s.file, s.replace, s.ragged = s.file, s.replace, nil, true
	}
	if len(s.waiting) == 0 {
		close(s.idle)
		s.idle = nil
		return nil, nil, old, false
	}
	lines, s.waiting = s.waiting, nil
	return lines, s.file, old, s.ragged
}

// writeLines appends lines and syncs them. ragged says that the file may end
// without a line break.
func writeLines(file *os.File, lines []*sinkLine, ragged bool) error {
	var text []byte
	if ragged && !endsLine(file) {
		text = append(text, '\n')
	}
	for _, line := range lines {
		text = append(text, line.text...)
	}
	if _, err := file.Write(text); err != nil {
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

// Reopen opens the path again, for rotation: rename the file, then call Reopen,
// and what is recorded from then on goes to a new file. If it fails, the sink
// goes on with the old one.
func (s *FileSink) Reopen() error {
	file, err := openAudit(s.path)
	if err != nil {
		return fmt.Errorf("reopening: %w", err)
	}
	old, err := s.put(file)
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return fmt.Errorf("reopening audit file %q: %w", s.path, err)
	}
	return nil
}

// put makes file the one for what is recorded from now on, and returns one that
// is of no more use.
func (s *FileSink) put(file *os.File) (old *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return file, errSinkClosed
	case s.idle != nil:
		// The goroutine that writes changes over, and closes the other.
		old, s.replace = s.replace, file
	default:
		old, s.file, s.ragged = s.file, file, true
	}
	return old, nil
}

// Close waits until what is being recorded is written, and closes the file.
// Record fails from then on.
func (s *FileSink) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	idle := s.idle
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
	return s.file.Close()
}

// NewSlogSink returns a sink that logs each entry as one record of level Info,
// with the message "audit" and the entry's time. It fails if the logger's
// handler does, or drops that level. Without a log, it is slog.Default().
func NewSlogSink(log *slog.Logger) AuditSink {
	return &slogSink{log: cmp.Or(log, slog.Default())}
}

type slogSink struct{ log *slog.Logger }

var errLevelDropped = errors.New("the logger drops records of level INFO: enable it, or give the sink another logger")

// Record implements [AuditSink].
func (s *slogSink) Record(ctx context.Context, tenant string, e AuditEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	handler := s.log.Handler()
	if !handler.Enabled(ctx, slog.LevelInfo) {
		return errLevelDropped
	}
	r := slog.NewRecord(e.Time, slog.LevelInfo, "audit", 0)
	r.AddAttrs(slog.String("tenant", tenant), slog.String("action", string(e.Action)))
	for _, attr := range []slog.Attr{
		slog.String("actor", e.Actor), slog.String("scope", e.Scope), slog.String("name", e.Name), slog.Int64("version", e.Version),
		slog.String("token", e.Token), slog.String("runner", e.Runner), slog.String("addr", e.Addr), slog.String("reason", string(e.Reason)),
		slog.Int64("through", e.Through), slog.String("head", e.Head),
	} {
		if attr.Value.Kind() == slog.KindString && attr.Value.String() != "" || attr.Value.Kind() == slog.KindInt64 && attr.Value.Int64() != 0 {
			r.AddAttrs(attr)
		}
	}
	if len(e.Delivered) > 0 {
		r.AddAttrs(slog.Any("delivered", e.Delivered))
	}
	return handler.Handle(ctx, r)
}
