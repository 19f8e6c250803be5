package audit

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

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/batch"
)

// FileSink is a [Sink] that appends to a file, one line of JSON for each
// entry: the tenant, and the members of [Entry]. An entry is on disk when
// Record returns; those that arrive together share one fsync.
//
// After a crash or a full disk the file may end in the beginning of a line. The
// next entry starts a line of its own.
type FileSink struct {
	path  string
	lines *batch.Group[[]byte]

	mu      sync.Mutex // never held during reads and writes
	closed  bool
	writing bool
	file    *os.File
	replace *os.File // takes the place of file at the end of the write under way, if there is one
	ragged  bool     // file may end without a line break
}

const (
	// maxWaiting is how many lines a FileSink keeps at most for a disk that
	// hangs, and maxTogether how many it writes together.
	maxWaiting  = 100_000
	maxTogether = 10_000
)

// fileLine is a line of a FileSink.
type fileLine struct {
	Tenant string `json:"tenant"`
	Entry
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
	s := &FileSink{path: path, file: file, ragged: true}
	s.lines = &batch.Group[[]byte]{Commit: s.write, Most: maxTogether, MostWaiting: maxWaiting}
	return s, nil
}

// openAudit opens an audit file for appending, and makes sure that a new one is
// there after a crash.
func openAudit(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("audit file: the path is empty; name the file to append to")
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

// Record implements [Sink].
func (s *FileSink) Record(ctx context.Context, tenant string, e Entry) error {
	if err := s.record(ctx, tenant, e); err != nil {
		return fmt.Errorf("recording to audit file %q: %w", s.path, err)
	}
	return nil
}

func (s *FileSink) record(ctx context.Context, tenant string, e Entry) error {
	text, err := json.Marshal(fileLine{tenant, e})
	if err != nil {
		return err
	}
	err = s.lines.Do(ctx, append(text, '\n'))
	switch {
	case errors.Is(err, batch.ErrClosed):
		return errSinkClosed
	case errors.Is(err, batch.ErrFull):
		return errSinkBehind
	}
	return err
}

// write appends lines to the file.
func (s *FileSink) write(_ context.Context, lines [][]byte) (written int, err error) {
	s.mu.Lock()
	s.writing = true
	file, ragged := s.file, s.ragged
	s.mu.Unlock()

	err = writeLines(file, lines, ragged)

	s.mu.Lock()
	s.writing, s.ragged = false, err != nil
	var old *os.File
	if s.replace != nil {
		old = s.put(s.replace)
		s.replace = nil
	}
	s.mu.Unlock()
	if old != nil {
		_ = old.Close() // all that was recorded there is synced
	}
	if err != nil {
		return 0, err
	}
	return len(lines), nil
}

// put makes file the one for what is recorded from now on, and returns the one
// before. The lock is held.
func (s *FileSink) put(file *os.File) (old *os.File) {
	old, s.file, s.ragged = s.file, file, true
	return old
}

// writeLines appends lines and syncs them. ragged says that the file may end
// without a line break.
func writeLines(file *os.File, lines [][]byte, ragged bool) error {
	var text []byte
	if ragged && !endsLine(file) {
		text = append(text, '\n')
	}
	for _, line := range lines {
		text = append(text, line...)
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
	old, err := s.change(file)
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return fmt.Errorf("reopening audit file %q: %w", s.path, err)
	}
	return nil
}

// change is put for a file that may be written to, and returns one that is of no
// more use.
func (s *FileSink) change(file *os.File) (old *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return file, errSinkClosed
	case s.writing:
		old, s.replace = s.replace, file // write changes over, and closes the other
		return old, nil
	}
	return s.put(file), nil
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
	s.mu.Unlock()
	s.lines.Close()
	return s.file.Close()
}

// NewSlogSink returns a sink that logs each entry as one record of level Info,
// with the message "audit" and the entry's time. It fails if the logger's
// handler does, or drops that level. Without a log, it is slog.Default().
func NewSlogSink(log *slog.Logger) Sink {
	return &slogSink{log: cmp.Or(log, slog.Default())}
}

type slogSink struct{ log *slog.Logger }

var errLevelDropped = errors.New("the logger drops records of level INFO: enable it, or give the sink another logger")

// Record implements [Sink].
func (s *slogSink) Record(ctx context.Context, tenant string, e Entry) error {
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
	return handler.Handle(ctx, r)
}
