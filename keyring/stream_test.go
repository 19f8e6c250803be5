package keyring_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

const streamChunk = 64 << 10

// backup is the context of the streams below.
var backup = keyring.Context{"purpose": "backup", "number": "7"}

// sealStream returns the stream of a plaintext that is written n bytes at a time.
func sealStream(t testing.TB, group *keyring.Group, plaintext string, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := group.SealStream(&out, backup)
	require.NoError(t, err)
	for piece := range slices.Chunk([]byte(plaintext), n) {
		written, err := w.Write(piece)
		require.NoError(t, err)
		require.Equal(t, len(piece), written)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// openStream returns the plaintext of a stream up to an error.
func openStream(t testing.TB, group *keyring.Group, stream []byte, c keyring.Context) (string, error) {
	t.Helper()
	r, err := group.OpenStream(bytes.NewReader(stream), c)
	require.NoError(t, err)
	plaintext, err := io.ReadAll(r)
	return string(plaintext), err
}

// cutStream returns the chunks of a stream, each with its length prefix.
func cutStream(t testing.TB, stream []byte) (chunks [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(stream))
		require.LessOrEqual(t, n, len(stream))
		chunks = append(chunks, stream[:n])
		stream = stream[n:]
	}
	return chunks
}

// longText returns n bytes of text without repetition.
func longText(n int) string {
	var text strings.Builder
	for text.Len() < n {
		fmt.Fprintf(&text, "%d\n", text.Len())
	}
	return text.String()[:n]
}

func TestSealStream(t *testing.T) {
	group := newGroup(t, web)
	for _, size := range []int{0, 1, streamChunk - 1, streamChunk, streamChunk + 1, 2 * streamChunk, 2*streamChunk + 1, 5*streamChunk + 17} {
		want := longText(size)
		for _, piece := range []int{1000, streamChunk - 1, streamChunk, streamChunk + 1, 3 * streamChunk} {
			about := fmt.Sprintf("%d bytes, written %d at a time", size, piece)
			stream := sealStream(t, group, want, piece)
			chunks := cutStream(t, stream)
			require.Len(t, chunks, max(1, (size+streamChunk-1)/streamChunk), about)
			for i, chunk := range chunks {
				plaintext, err := group.Open(nil, chunk[4:], keyring.Context{
					"purpose": "backup", "number": "7", "chunk": strconv.Itoa(i), "last": strconv.FormatBool(i == len(chunks)-1),
				})
				require.NoError(t, err, about)
				require.Equal(t, want[i*streamChunk:min(size, (i+1)*streamChunk)], string(plaintext), "each chunk is a message of the group: %s", about)
			}
			got, err := openStream(t, group, stream, backup)
			require.NoError(t, err, about)
			require.Equal(t, want, got, about)
		}
	}
}

func TestStream_Known(t *testing.T) {
	type knownStream struct {
		Name         string
		Key          hexBytes
		KeyID        hexBytes        `json:"key_id"`
		GroupContext keyring.Context `json:"group_context"`
		Context      keyring.Context
		Plaintext    hexBytes
		Stream       hexBytes
	}
	for _, test := range known[knownStream](t, "stream.json", "stream") {
		t.Run(test.Name, func(t *testing.T) {
			group, err := keyring.NewGroup(test.Key, [16]byte(test.KeyID), test.GroupContext)
			require.NoError(t, err)
			got, err := openStream(t, group, test.Stream, test.Context)
			require.NoError(t, err)
			same(t, test.Plaintext, []byte(got), "a stream always opens")
		})
	}
}

func TestOpenStream_ReadsInPieces(t *testing.T) {
	group := newGroup(t, web)
	want := longText(2*streamChunk + 100)
	stream := sealStream(t, group, want, 5000)
	for name, slow := range map[string]func(io.Reader) io.Reader{
		"half of each read": iotest.HalfReader, "the end together with data": iotest.DataErrReader, "a byte at a time": iotest.OneByteReader,
	} {
		r, err := group.OpenStream(slow(bytes.NewReader(stream)), backup)
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(r, []byte(want)), name)
		n, err := r.Read(make([]byte, 1))
		require.Zero(t, n)
		require.ErrorIs(t, err, io.EOF, "io.EOF repeats")
	}
}

func TestOpenStream_Truncated(t *testing.T) {
	group := newGroup(t, web)
	short := sealStream(t, group, "a secret", 100)
	for n := range short {
		got, err := openStream(t, group, short[:n], backup)
		require.Empty(t, got)
		requireRejected(t, err, fmt.Sprintf("cut to %d bytes", n))
		if n < 4 {
			require.ErrorIs(t, err, keyring.ErrTampered)
		}
	}

	want := longText(2*streamChunk + 100)
	stream := sealStream(t, group, want, 5000)
	end := 0
	for i, chunk := range cutStream(t, stream) {
		for _, n := range []int{end, end + 1, end + 4, end + 5, end + 4 + keyring.Overhead, end + len(chunk) - 1} {
			got, err := openStream(t, group, stream[:n], backup)
			require.ErrorIs(t, err, keyring.ErrTampered, "cut to %d bytes", n)
			require.True(t, strings.HasPrefix(want, got), "the bytes before the error are authentic")
			require.LessOrEqual(t, len(got), i*streamChunk)
		}
		end += len(chunk)
	}
	require.Equal(t, len(stream), end)
}

func TestOpenStream_Edited(t *testing.T) {
	group := newGroup(t, web)
	want := longText(3*streamChunk + 100)
	stream := sealStream(t, group, want, 5000)
	chunks := cutStream(t, stream)
	require.Len(t, chunks, 4)
	twin := cutStream(t, sealStream(t, group, want, 5000))
	another := func(c keyring.Context) []byte {
		var out bytes.Buffer
		w, err := group.SealStream(&out, c)
		require.NoError(t, err)
		_, err = io.WriteString(w, want)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return cutStream(t, out.Bytes())[1]
	}
	for about, edited := range map[string][][]byte{
		"two chunks swapped":         {chunks[0], chunks[2], chunks[1], chunks[3]},
		"the last chunk first":       {chunks[3], chunks[0], chunks[1], chunks[2]},
		"a chunk twice":              {chunks[0], chunks[1], chunks[1], chunks[2], chunks[3]},
		"the last chunk twice":       {chunks[0], chunks[1], chunks[2], chunks[3], chunks[3]},
		"a chunk left out":           {chunks[0], chunks[2], chunks[3]},
		"the first chunk left out":   {chunks[1], chunks[2], chunks[3]},
		"the last chunk left out":    {chunks[0], chunks[1], chunks[2]},
		"the stream twice":           {stream, stream},
		"a byte after the end":       {stream, {0}},
		"a chunk of another context": {chunks[0], another(keyring.Context{"purpose": "backup", "number": "8"}), chunks[2], chunks[3]},
		"an empty message":           {chunks[0], {0, 0, 0, 0}, chunks[1], chunks[2], chunks[3]},
		"a length that is too long":  {chunks[0], {255, 255, 255, 255}, chunks[1]},
	} {
		got, err := openStream(t, group, slices.Concat(edited...), backup)
		requireRejected(t, err, about)
		require.True(t, strings.HasPrefix(want, got), "the bytes before the error are authentic: %s", about)
	}
	_, err := openStream(t, group, slices.Concat(chunks[0], chunks[2], chunks[1], chunks[3]), backup)
	require.ErrorIs(t, err, keyring.ErrTampered)

	// Chunks of streams under the same context are interchangeable: the caller must use
	// different contexts.
	got, err := openStream(t, group, slices.Concat(chunks[0], twin[1], chunks[2], twin[3]), backup)
	require.NoError(t, err)
	require.Equal(t, want, got)

	small := sealStream(t, group, "a secret", 100)
	for i := range small {
		for bit := range 8 {
			edited := bytes.Clone(small)
			edited[i] ^= 1 << bit
			got, err := openStream(t, group, edited, backup)
			require.Empty(t, got)
			requireRejected(t, err, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
	}
}

func TestOpenStream_WrongContext(t *testing.T) {
	group := newGroup(t, web)
	stream := sealStream(t, group, "a secret", 100)
	for _, c := range []keyring.Context{nil, {"purpose": "backup"}, {"purpose": "backup", "number": "8"}, {"purpose": "backup", "number": "7", "more": ""}} {
		got, err := openStream(t, group, stream, c)
		require.ErrorIs(t, err, keyring.ErrTampered, "%v", c)
		require.Empty(t, got)
	}
	_, err := openStream(t, newGroup(t, acme), stream, backup)
	require.ErrorIs(t, err, keyring.ErrTampered)
	stranger, err := keyring.NewGroup(bytes.Repeat([]byte{8}, 32), [16]byte{9}, web)
	require.NoError(t, err)
	_, err = openStream(t, stranger, stream, backup)
	require.ErrorIs(t, err, keyring.ErrNoKey)
}

func TestStream_InvalidContext(t *testing.T) {
	group := newGroup(t, web)
	long := strings.Repeat("x", 1000)
	for about, c := range map[string]keyring.Context{
		"the key chunk":              {"chunk": "1"},
		"the key last":               {"last": "true"},
		"an empty key":               {"": "x"},
		"no room for two more pairs": {"a": long, "b": long, "c": long, "d": long, "e": strings.Repeat("x", 50)},
	} {
		var problem *keyring.ContextError
		w, err := group.SealStream(io.Discard, c)
		require.ErrorAs(t, err, &problem, about)
		require.Nil(t, w)
		r, err := group.OpenStream(strings.NewReader(""), c)
		require.ErrorAs(t, err, &problem, about)
		require.Nil(t, r)
	}
}

func TestStream_ContextCopied(t *testing.T) {
	group := newGroup(t, web)
	c := keyring.Context{"a": "b"}
	var out bytes.Buffer
	w, err := group.SealStream(&out, c)
	require.NoError(t, err)
	c["a"] = "changed"
	require.NoError(t, w.Close())
	require.Equal(t, keyring.Context{"a": "changed"}, c)
	_, err = openStream(t, group, out.Bytes(), keyring.Context{"a": "b"})
	require.NoError(t, err, "the stream uses the context at the time of the call")
}

// A failingWriter accepts n bytes.
type failingWriter struct{ n int }

var errFull = errors.New("disk full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n < len(p) {
		return w.n, errFull
	}
	w.n -= len(p)
	return len(p), nil
}

func TestSealStream_WriterFails(t *testing.T) {
	group := newGroup(t, web)
	w, err := group.SealStream(&failingWriter{n: streamChunk + 1000}, backup)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, streamChunk+1))
	require.NoError(t, err)
	n, err := w.Write(make([]byte, 2*streamChunk))
	require.ErrorIs(t, err, errFull)
	require.Equal(t, streamChunk-1, n, "bytes in the failed chunk count as written")
	_, err = w.Write([]byte("x"))
	require.ErrorIs(t, err, errFull)
	require.ErrorIs(t, w.Close(), errFull)
	require.ErrorIs(t, w.Close(), errFull)

	w, err = group.SealStream(shortWriter{}, backup)
	require.NoError(t, err)
	require.ErrorIs(t, w.Close(), io.ErrShortWrite)
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) - 1, nil }

func TestOpenStream_ReaderFails(t *testing.T) {
	group := newGroup(t, web)
	stream := sealStream(t, group, longText(streamChunk+1), 5000)
	first := len(cutStream(t, stream)[0])
	for _, n := range []int{0, 2, 100, first, first + 2, first + 50, len(stream)} {
		r, err := group.OpenStream(io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(errFull)), backup)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, errFull, "%d bytes before it", n)
		require.NotErrorIs(t, err, keyring.ErrTampered, "a reader error is not a truncation")
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, errFull, "the error repeats")
	}
}

func TestSealStream_Close(t *testing.T) {
	group := newGroup(t, web)
	var out bytes.Buffer
	w, err := group.SealStream(&out, backup)
	require.NoError(t, err)
	require.Zero(t, out.Len(), "nothing is written early")
	require.NoError(t, w.Close())
	n := out.Len()
	require.NoError(t, w.Close(), "a second Close does nothing")
	_, err = w.Write([]byte("x"))
	require.Error(t, err)
	require.Equal(t, n, out.Len())
	got, err := openStream(t, group, out.Bytes(), backup)
	require.NoError(t, err)
	require.Empty(t, got, "an empty stream is valid")
}

func TestStream_DestroyedKey(t *testing.T) {
	keys := newKeyring(t, newLocal(t, "primary", 9), nil)
	key, _, err := keys.NewKey(t.Context(), acme)
	require.NoError(t, err)
	group, err := key.Group(web)
	require.NoError(t, err)
	stream := sealStream(t, group, longText(2*streamChunk), 5000)
	w, err := group.SealStream(io.Discard, backup)
	require.NoError(t, err)
	r, err := group.OpenStream(bytes.NewReader(stream), backup)
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 10))
	require.NoError(t, err)
	key.Destroy()
	require.ErrorIs(t, w.Close(), keyring.ErrKeyState)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, keyring.ErrKeyState)
	_, err = group.SealStream(io.Discard, backup)
	require.ErrorIs(t, err, keyring.ErrKeyState)
	_, err = group.OpenStream(bytes.NewReader(stream), backup)
	require.ErrorIs(t, err, keyring.ErrKeyState)
}

func TestStream_Concurrent(t *testing.T) {
	group := newGroup(t, web)
	var streams sync.WaitGroup
	for i := range 4 {
		streams.Go(func() {
			c := keyring.Context{"number": strconv.Itoa(i)}
			want := longText(3*streamChunk + i)
			var out bytes.Buffer
			w, err := group.SealStream(&out, c)
			if err == nil {
				_, err = io.WriteString(w, want)
				err = errors.Join(err, w.Close())
			}
			if err != nil {
				t.Error(err)
				return
			}
			r, err := group.OpenStream(&out, c)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != want {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	streams.Wait()
}

// FuzzOpenStream checks that only the sealed stream opens completely, that any other
// opens to no plaintext, and that nothing panics.
func FuzzOpenStream(f *testing.F) {
	group := newGroup(f, web)
	var short bytes.Buffer
	w, err := group.SealStream(&short, backup)
	require.NoError(f, err)
	_, err = io.WriteString(w, "a secret")
	require.NoError(f, err)
	require.NoError(f, w.Close())
	f.Add(short.Bytes())
	f.Add(short.Bytes()[:20])
	f.Add(append(short.Bytes(), short.Bytes()...))
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, err := openStream(t, group, stream, backup)
		if err == nil {
			require.Equal(t, "a secret", got, "only the sealed stream opens")
			return
		}
		require.Empty(t, got)
		requireRejected(t, err, "")
	})
}
