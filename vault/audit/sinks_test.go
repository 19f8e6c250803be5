package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/audit/audittest"
)

func newFileSink(t testing.TB) (*audit.FileSink, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	sink, err := audit.NewFileSink(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	return sink, path
}

// readRecords decodes lines of JSON.
func readRecords(text []byte) ([]audittest.Record, error) {
	var out []audittest.Record
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Tenant string
			audit.Record
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		out = append(out, audittest.Record{Tenant: line.Tenant, Record: line.Record})
	}
	return out, lines.Err()
}

func TestFileSink(t *testing.T) {
	t.Run("meets the contract of a sink", func(t *testing.T) {
		audittest.Run(t, func(t *testing.T) (audit.Sink, func() ([]audittest.Record, error)) {
			sink, path := newFileSink(t)
			return sink, func() ([]audittest.Record, error) {
				text, err := os.ReadFile(path)
				if err != nil {
					return nil, err
				}
				return readRecords(text)
			}
		})
	})

	t.Run("skips an entry whose context has ended", func(t *testing.T) {
		sink, path := newFileSink(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, sink.Record(ctx, "acme", recordOf("A")), context.Canceled)
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
		require.Equal(t, []string{"B"}, namesIn(t, path))
	})

	t.Run("returns a write error and starts a new line after it", func(t *testing.T) {
		sink, path := newFileSink(t)
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
		audit.BreakFile(sink) // writes fail from here on, as on a full disk
		err := sink.Record(t.Context(), "acme", recordOf("LOST"))
		require.ErrorContains(t, err, path, "the error names the file")
		require.ErrorIs(t, err, os.ErrClosed)
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		require.NoError(t, err)
		_, err = file.WriteString(`{"name":"LO`) // a partial line, as a full disk leaves it
		require.NoError(t, errors.Join(err, file.Close()))
		require.Error(t, sink.Reopen(), "the broken file cannot be closed")
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
		require.Equal(t, []string{"A", "?", "B"}, namesIn(t, path))
	})
}

func TestNewSlogSink(t *testing.T) {
	t.Run("meets the contract of a sink", func(t *testing.T) {
		audittest.Run(t, func(t *testing.T) (audit.Sink, func() ([]audittest.Record, error)) {
			var out bytes.Buffer
			sink := audit.NewSlogSink(slog.New(slog.NewJSONHandler(&out, nil)))
			return sink, func() ([]audittest.Record, error) { return readRecords(out.Bytes()) }
		})
	})

	t.Run("fails if the logger drops the entry", func(t *testing.T) {
		var out bytes.Buffer
		quiet := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
		require.ErrorContains(t, audit.NewSlogSink(quiet).Record(t.Context(), "acme", recordOf("A")), "drops records at level INFO")
		require.ErrorContains(t, audit.NewSlogSink(slog.New(failing{})).Record(t.Context(), "acme", recordOf("A")), "the pipe is broken", "the sink returns the error of the handler")
		require.NotNil(t, audit.NewSlogSink(nil))
	})
}

func entryOf(name string) audit.Entry {
	return audit.Entry{Time: time.Now(), Action: audit.Put, Scope: "acme", Name: name}
}

// recordOf returns one entry of entryOf, with a number.
func recordOf(name string) []audit.Record { return []audit.Record{{Seq: 1, Entry: entryOf(name)}} }

// namesIn returns the names of the entries in a file, and "?" for a line that is not an
// entry.
func namesIn(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(text)) {
		var e audit.Entry
		if json.Unmarshal([]byte(line), &e) != nil {
			e.Name = "?"
		}
		out = append(out, e.Name)
	}
	return out
}

func TestNewFileSink(t *testing.T) {
	t.Run("creates a private file and keeps an existing file's mode", func(t *testing.T) {
		sink, path := newFileSink(t)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
		require.NoError(t, sink.Close())

		require.NoError(t, os.Chmod(path, 0o640)) // for a log shipper
		sink, err = audit.NewFileSink(path)
		require.NoError(t, err)
		defer sink.Close()
		info, err = os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o640), info.Mode().Perm(), "the operator's mode is kept")
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
		require.Equal(t, []string{"A", "B"}, namesIn(t, path), "existing entries are kept")
	})

	t.Run("requires a regular file", func(t *testing.T) {
		folder := t.TempDir()
		_, err := audit.NewFileSink(folder)
		require.ErrorContains(t, err, "is not a regular file")
		_, err = audit.NewFileSink("")
		require.EqualError(t, err, "audit file: the path is empty; set it to the file to append to")
		_, err = audit.NewFileSink(filepath.Join(folder, "missing", "audit.jsonl"))
		require.ErrorContains(t, err, "missing", "the error names the path")
	})
}

func TestFileSink_PartialLine(t *testing.T) {
	for about, row := range map[string]struct {
		before string
		want   []string
	}{
		"empty":          {"", []string{"B"}},
		"complete line":  {`{"name":"A"}` + "\n", []string{"A", "B"}},
		"partial line":   {`{"name":"A"}` + "\n" + `{"na`, []string{"A", "?", "B"}},
		"no line break":  {`{"name":"A"}`, []string{"A", "B"}},
		"one line break": {"\n", []string{"?", "B"}},
	} {
		t.Run(about, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(row.before), 0o600))
			sink, err := audit.NewFileSink(path)
			require.NoError(t, err)
			defer sink.Close()
			require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
			require.Equal(t, row.want, namesIn(t, path))
		})
	}
}

func TestFileSink_Reopen(t *testing.T) {
	t.Run("loses no entry under load", func(t *testing.T) {
		sink, path := newFileSink(t)
		const writers, each, rotations = 4, 100, 10
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for n := range each {
					if err := sink.Record(t.Context(), "acme", recordOf(fmt.Sprintf("W%d_%d", w, n))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range rotations {
			require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
			require.NoError(t, sink.Reopen())
		}
		group.Wait()
		require.NoError(t, sink.Close())
		var names []string
		for i := range rotations {
			names = append(names, namesIn(t, fmt.Sprintf("%s.%d", path, i))...)
		}
		names = append(names, namesIn(t, path)...)
		var want []string
		for w := range writers {
			for n := range each {
				want = append(want, fmt.Sprintf("W%d_%d", w, n))
			}
		}
		require.ElementsMatch(t, want, names, "every entry is in exactly one file")
	})

	t.Run("switches to the new file, or keeps the old one on failure", func(t *testing.T) {
		sink, path := newFileSink(t)
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("OLD")))
		require.NoError(t, os.Rename(path, path+".1"))
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("STILL_OLD")))
		require.NoError(t, sink.Reopen())
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("NEW")))
		require.Equal(t, []string{"OLD", "STILL_OLD"}, namesIn(t, path+".1"))
		require.Equal(t, []string{"NEW"}, namesIn(t, path))

		require.NoError(t, os.Rename(path, path+".2"))
		require.NoError(t, os.Mkdir(path, 0o700))
		require.ErrorContains(t, sink.Reopen(), "is not a regular file")
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("KEPT")), "it keeps the current file")
		require.Equal(t, []string{"NEW", "KEPT"}, namesIn(t, path+".2"))
	})
}

func TestFileSink_Close(t *testing.T) {
	t.Run("makes Record and Reopen fail", func(t *testing.T) {
		sink, path := newFileSink(t)
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
		require.NoError(t, sink.Close())
		require.NoError(t, sink.Close(), "a second Close returns nil")
		require.ErrorContains(t, sink.Record(t.Context(), "acme", recordOf("B")), "is closed")
		require.ErrorContains(t, sink.Reopen(), "is closed")
		require.Equal(t, []string{"A"}, namesIn(t, path))
	})

	t.Run("waits for entries being recorded", func(t *testing.T) {
		for range 20 {
			sink, path := newFileSink(t)
			var kept []string
			var mu sync.Mutex
			var group sync.WaitGroup
			some := make(chan struct{}, 100)
			for i := range 50 {
				group.Go(func() {
					name := fmt.Sprintf("N%d", i)
					some <- struct{}{}
					err := sink.Record(t.Context(), "acme", recordOf(name))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						kept = append(kept, name)
					} else if errors.Is(err, os.ErrClosed) {
						t.Errorf("the file was closed during a write: %v", err)
					}
				})
			}
			<-some
			require.NoError(t, sink.Close())
			written := namesIn(t, path)
			group.Wait()
			require.Equal(t, written, namesIn(t, path), "nothing is written after Close")
			require.ElementsMatch(t, kept, written, "every recorded entry is in the file")
		}
	})
}

// failing is a handler that returns an error.
type failing struct{ slog.Handler }

func (failing) Enabled(context.Context, slog.Level) bool  { return true }
func (failing) Handle(context.Context, slog.Record) error { return errors.New("the pipe is broken") }
