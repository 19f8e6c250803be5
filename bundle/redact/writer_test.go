package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/internal/leaktest"
)

// written returns the complete output of a writer for pieces.
func written(t testing.TB, r *redact.Redactor, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := r.Writer(&out)
	for _, piece := range pieces {
		n, err := io.WriteString(w, piece)
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	require.NoError(t, w.Close())
	return out.String()
}

func TestWriter(t *testing.T) {
	t.Run("every split of the input gives the same output", func(t *testing.T) {
		for _, row := range []struct {
			about, in, want string
			values          []string
		}{
			{"one", "token=0123456789;", "token=[A];", []string{"0123456789"}},
			{"self-overlapping", "s3s3s3cret s3s3cret", "s3[A] [A]", []string{"s3s3cret"}},
			{"repeating digits", "000042beef", "0[A]", []string{"00042beef"}},
			{"repeating itself", "abababababab", "[A]", []string{"ababab"}},
			{"touching", "secretsecret", "[A][A]", []string{"secret"}},
			{"overlapping, named by the first", "xabcdefghijx", "x[B]x", []string{"efghij", "abcdefg"}},
			{"a chain of overlaps", "abcdefghijklmnop", "[A]", []string{"abcdefg", "fghijkl", "klmnop"}},
			{"nested, named by the outer", "<abcdefghij>", "<[B]>", []string{"cdefgh", "abcdefghij"}},
			{"the longest at one place", "abcdef abcdefgh abcdefghi", "[A] [A]gh [B]", []string{"abcdef", "abcdefghi"}},
			{"a prefix of a longer one", "abcdefghX", "[A]ghX", []string{"abcdef", "abcdefghi"}},
			{"inside a longer one that fails", "abcdefghijX", "abc[B]jX", []string{"abcdefghijk", "defghi"}},
			{"an end that begins another", "abcdefabcdeX", "[A]abcdeX", []string{"abcdef"}},
			{"binary", "\x00\xff\xfe\x00sec\x00ret\xff", "\x00\xff\xfe\x00[A]\xff", []string{"sec\x00ret"}},
			{"several lines", "-one line-\n-another-", "[A]", []string{"-one line-\n-another-"}},
			{"the same value twice", "0123456789", "[A]", []string{"0123456789", "0123456789"}},
			{"nothing", "nothing to see", "nothing to see", []string{"0123456789"}},
		} {
			t.Run(row.about, func(t *testing.T) {
				r := redact.New()
				for i, value := range row.values {
					r.Add(secret(string(rune('A'+i)), value))
				}
				require.Equal(t, row.want, r.String(row.in), "in one piece")
				require.Equal(t, row.want, string(r.Bytes([]byte(row.in))), "as bytes")
				for i := range len(row.in) {
					require.Equal(t, row.want, written(t, r, row.in[:i], row.in[i:]), "split at %d", i)
					for j := i; j < len(row.in); j++ {
						require.Equal(t, row.want, written(t, r, row.in[:i], row.in[i:j], row.in[j:]), "split at %d and %d", i, j)
					}
				}
				require.Equal(t, row.want, written(t, r, strings.Split(row.in, "")...), "byte by byte")
			})
		}
	})

	t.Run("holds back only bytes that could begin a match", func(t *testing.T) {
		var out bytes.Buffer
		w := redact.New(secret("A", "0123456789"), secret("B", "789secret")).Writer(&out)
		for _, step := range []struct{ in, out string }{
			{"no newline needed", "no newline needed"},
			{" 0123456", " "},
			{"x", "0123456x"},
			{"0123456789", "[A]"}, // 789 is held back, although [A] replaces it
			{"!", "!"},
			{"0123456789", "[A]"},
			{"secret", ""}, // overlaps the first match
			{"!", "!"},
			{"789secre", ""},
			{"t", "[B]"}, // no longer match is possible, so it is written immediately
		} {
			out.Reset()
			_, err := io.WriteString(w, step.in)
			require.NoError(t, err)
			require.Equal(t, step.out, out.String(), "after %q", step.in)
		}
	})

	t.Run("loses and repeats nothing when the underlying writer fails", func(t *testing.T) {
		full := errors.New("no space left")
		for _, failure := range []error{full, nil} {
			for limit := range 20 {
				f := &faulty{limit: limit, err: failure}
				r := redact.New(secret("A", "0123456789"))
				w := r.Writer(f)
				in := "ab 0123456789 cd 0123456789012 ef 01234"
				for at := 0; at < len(in); {
					n, err := io.WriteString(w, in[at:min(at+20, len(in))])
					at += n
					if err != nil {
						if failure != nil {
							require.ErrorIs(t, err, full)
						} else {
							require.ErrorIs(t, err, io.ErrShortWrite)
						}
						require.True(t, strings.HasPrefix("ab [A] cd [A]012 ef 01234", f.String()), "the output so far is correct: %q", f.String())
						n, _ = io.WriteString(w, "lost?") // fails again, or not
						in = in[:at] + "lost?"[:n] + in[at:]
						at += n
						f.limit = -1
					}
				}
				f.limit = -1
				require.NoError(t, w.Close())
				require.Equal(t, r.String(in), f.String(), "with a limit of %d", limit)
			}
		}
	})

	t.Run("masks secrets added while it is open", func(t *testing.T) {
		var out bytes.Buffer
		r := redact.New(secret("A", "abcdefghij"))
		w := r.Writer(&out)
		_, err := io.WriteString(w, "first-second abcdef")
		require.NoError(t, err)
		require.Equal(t, "first-second ", out.String())
		r.Add(secret("B", "first-second"), secret("C", "defghi!"))
		_, err = io.WriteString(w, "ghi! first-second ")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Equal(t, "first-second abc[C] [B] ", out.String(), "held-back bytes are masked with the new secrets")
	})

	t.Run("is safe for concurrent use with Add and Update", func(t *testing.T) {
		r := redact.New(secret("FIRST", "the-first-secret"))
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range 20 {
					r.Add(secret(fmt.Sprint("LATER_", i), fmt.Sprint("later-secret-", i)))
					r.Update(nil)
					_ = r.Unmaskable()
				}
			})
		}
		var out leaktest.Output
		shared := r.Writer(&out)
		for range 4 {
			group.Go(func() {
				var own bytes.Buffer
				w := r.Writer(&own)
				for range 200 {
					_, _ = io.WriteString(w, "the-first-")
					_, _ = io.WriteString(w, "secret\n")
					_, _ = io.WriteString(shared, "the-first-secret\n")
				}
				if err := w.Close(); err != nil || own.String() != strings.Repeat("[FIRST]\n", 200) {
					t.Errorf("a writer wrote %q, %v", own.String(), err)
				}
			})
		}
		group.Wait()
		require.NoError(t, shared.Close())
		require.Equal(t, strings.Repeat("[FIRST]\n", 800), out.String(), "writes to one writer are not interleaved")
	})

	t.Run("does not allocate", func(t *testing.T) {
		rng := mathrand.New(mathrand.NewPCG(1, 2))
		secrets := randomSecrets(rng, 200)
		r := redact.New(secrets...)
		w := r.Writer(io.Discard)
		var text bytes.Buffer
		for i := 0; text.Len() < 1<<16; i++ {
			fmt.Fprintf(&text, "%d: an ordinary line with %s in it\n", i, secrets[i%200].Value.Reveal())
		}
		for _, size := range []int{1, 100, 4096, 1 << 16} {
			allocs := testing.AllocsPerRun(20, func() {
				for at := 0; at < text.Len(); at += size {
					_, _ = w.Write(text.Bytes()[at:min(at+size, text.Len())])
				}
			})
			require.Zero(t, allocs, "writes of %d bytes", size)
		}
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = r.String("an ordinary line") }), "a text without a match is returned unchanged")
	})

	t.Run("masks thousands of secrets", func(t *testing.T) {
		secrets := randomSecrets(mathrand.New(mathrand.NewPCG(3, 4)), 5000)
		r := redact.New(secrets...)
		var in, want strings.Builder
		for i, s := range secrets {
			fmt.Fprintf(&in, "line %d: %s\n", i, s.Value.Reveal())
			fmt.Fprintf(&want, "line %d: [%s]\n", i, s.Name)
		}
		for _, size := range []int{7, 4096, in.Len()} {
			require.True(t, want.String() == written(t, r, cut(in.String(), size)...), "in pieces of %d", size)
		}
	})

	t.Run("masks a secret of a megabyte", func(t *testing.T) {
		value := "0123456789abcdef0123" + base64.RawStdEncoding.EncodeToString(random(large*3/4))
		r := redact.New(secret("BIG", value), secret("SMALL", "0123zz"))
		almost := value[:len(value)-1]
		in, want := "<"+value+">"+almost+"!0123456789abcdef0123zz", "<[BIG]>"+almost+"!0123456789abcdef[SMALL]"
		require.True(t, want == r.String(in), "in one piece")
		for _, size := range []int{1000, large} {
			require.True(t, want == written(t, r, cut(in, size)...), "in pieces of %d", size)
		}
		require.Equal(t, "[BIG]", r.String(hex.EncodeToString([]byte(value))), "its forms are masked too")
		require.Equal(t, "[BIG]", r.String(base64.StdEncoding.EncodeToString([]byte(value))), "its forms are masked too")
	})
}

func TestWriter_Flush(t *testing.T) {
	t.Run("releases held-back bytes", func(t *testing.T) {
		var out bytes.Buffer
		w := redact.New(secret("A", "0123456789"), secret("B", "01234567890123")).Writer(&out)
		_, err := io.WriteString(w, "01234")
		require.NoError(t, err)
		require.Empty(t, out.String())
		require.NoError(t, w.Flush())
		require.Equal(t, "01234", out.String(), "a flush releases the beginning of a match")
		_, err = io.WriteString(w, "56789 0123456789")
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		require.Equal(t, "0123456789 [A]", out.String(), "released bytes are not part of a later match")
		out.Reset()
		_, err = io.WriteString(w, "0123456789")
		require.NoError(t, err)
		require.Empty(t, out.String(), "a longer match is still possible")
		require.NoError(t, w.Flush())
		require.Equal(t, "[A]", out.String(), "a flush masks a complete match")
	})
}

func TestWriter_IdleFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quiet, idle leaktest.Output
		value := secret("A", "0123456789")
		never := redact.New(value).Writer(&quiet)
		soon := redact.NewWithOptions(&redact.Options{IdleFlush: time.Second}, value).Writer(&idle)
		write := func(s string) {
			_, err := io.WriteString(never, s)
			require.NoError(t, err)
			_, err = io.WriteString(soon, s)
			require.NoError(t, err)
		}
		write("Password: 012")
		time.Sleep(900 * time.Millisecond)
		write("34")
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, "Password: ", idle.String(), "each write restarts the second")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, "Password: 01234", idle.String(), "after an idle second, the beginning is released")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, "Password: ", quiet.String(), "without the option, it is held back")
		write("0123456789")
		require.NoError(t, soon.Close())
		require.NoError(t, never.Close())
		require.Equal(t, "Password: 01234[A]", idle.String())
		require.Equal(t, "Password: 01234[A]", quiet.String())
	})
}

func TestWriter_Close(t *testing.T) {
	t.Run("rejects further writes", func(t *testing.T) {
		var out bytes.Buffer
		w := redact.New(secret("A", "0123456789")).Writer(&out)
		_, err := io.WriteString(w, "0123")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Equal(t, "0123", out.String(), "closing releases held-back bytes")
		require.NoError(t, w.Close(), "closing again does nothing")
		_, err = io.WriteString(w, "more")
		require.ErrorIs(t, err, fs.ErrClosed)
		require.Equal(t, "0123", out.String())
	})

	t.Run("can be retried", func(t *testing.T) {
		f := &faulty{limit: 1, err: errors.New("busy")}
		w := redact.New(secret("A", "0123456789")).Writer(f)
		_, err := io.WriteString(w, "01234")
		require.NoError(t, err)
		require.EqualError(t, w.Close(), "busy")
		f.limit = -1
		require.NoError(t, w.Close())
		require.Equal(t, "01234", f.String())
	})
}

// A faulty writer accepts only a few bytes per call, with err as its error.
type faulty struct {
	bytes.Buffer
	limit int
	err   error
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.limit >= len(p) || f.limit < 0 {
		return f.Buffer.Write(p)
	}
	n, _ := f.Buffer.Write(p[:f.limit])
	return n, f.err
}

// cut returns text in pieces of size bytes.
func cut(text string, size int) (pieces []string) {
	for text != "" {
		n := min(size, len(text))
		pieces, text = append(pieces, text[:n]), text[n:]
	}
	return pieces
}

// With quadratic time, this would take minutes.
func TestWriter_LinearTime(t *testing.T) {
	a := strings.Repeat("a", large)
	for _, row := range []struct {
		about, value, in, want string
		size                   int
	}{
		{"never complete", a[1:] + "c", a + a, a + a, 4096},
		{"never complete, byte by byte", a[1:] + "c", a + a[:large/4], a + a[:large/4], 1},
		{"complete everywhere", a, a + a + "b", "[A]b", 4096},
		{"complete everywhere, byte by byte", a, a + a[:large/4] + "b", "[A]b", 1},
		{"broken", a, strings.Repeat(a[1:]+"b", 2), strings.Repeat(a[1:]+"b", 2), 4096},
		{"one piece", a[1:] + "c", a + a, a + a, 4 * large},
		{"two letters", strings.Repeat("ab", large/2), "b" + strings.Repeat("ab", large), "b[A]", 4096},
	} {
		t.Run(row.about, func(t *testing.T) {
			got := written(t, redact.New(secret("A", row.value)), cut(row.in, row.size)...)
			require.True(t, row.want == got, "the output has %d bytes; want %d", len(got), len(row.want))
		})
	}
}

func TestRedactor_Reader(t *testing.T) {
	t.Run("masks like a Writer", func(t *testing.T) {
		r := redact.New(secret("A", "0123456789"), secret("B", "abcabcabd"))
		in := strings.Repeat("x0123456789y abcabcabcabd 01234", 5000)
		for _, src := range []io.Reader{strings.NewReader(in), iotestOneByte{strings.NewReader(in)}} {
			got, err := io.ReadAll(r.Reader(src))
			require.NoError(t, err)
			require.Equal(t, r.String(in), string(got))
		}
		broken := errors.New("connection reset")
		got, err := io.ReadAll(r.Reader(io.MultiReader(strings.NewReader("x0123456789 01234"), failingReader{broken})))
		require.ErrorIs(t, err, broken)
		require.Equal(t, "x[A] 01234", string(got), "the data before the error is returned first")
		_, err = r.Reader(failingReader{nil}).Read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrNoProgress)
	})
}

type iotestOneByte struct{ io.Reader }

func (r iotestOneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

var _ io.WriteCloser = (*redact.Writer)(nil)

func bundleOf(t testing.TB, secrets ...bundle.Secret) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New(secrets, nil)
	require.NoError(t, err)
	return b
}
