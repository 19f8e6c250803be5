package local

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

const (
	filePrefix = "satchel-kek-1:"
	// maxFileSize is more than any key file has, so that reading the wrong file
	// ends soon.
	maxFileSize = 1024
)

// FromFile returns the KEK in a key file: one line of "satchel-kek-1:" and 32
// bytes in standard base64, with or without a final newline. The file is
// readable by its owner only (mode 0600 or stricter). The KEK names itself
// after the key, so that the file may be moved or copied.
//
// The errors name the file and the fix, and quote nothing of its content. The
// one for a missing file wraps [fs.ErrNotExist].
func FromFile(path string) (*KEK, error) {
	content, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	key, err := parseFile(content)
	if err != nil {
		return nil, fmt.Errorf("key file %q: %w", path, err)
	}
	defer clear(key)
	return newKEK(key)
}

// GenerateFile makes a random key, writes it to a new key file with mode 0600
// and returns its KEK. It never replaces a file: an existing one is an error
// that wraps [fs.ErrExist]. When writing fails it removes what it began.
//
// Whoever loses this file loses everything sealed under it. Keep a copy where
// backups of the data do not go.
func GenerateFile(path string) (*KEK, error) {
	key := make([]byte, KeySize)
	defer clear(key)
	rand.Read(key)
	line := base64.StdEncoding.AppendEncode([]byte(filePrefix), key)
	line = append(line, '\n')
	defer clear(line)
	err := atomicfile.Create(path, line)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key file: %w; a key is never replaced: load it with FromFile, or name a new file", err)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return newKEK(key)
}

// readPrivate returns the content of a file that only its owner can read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: to open a pipe is to wait
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key file: %w; name the file that holds the key, or make one with GenerateFile", err)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %q is not a regular file; name the file that holds the key", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer file.Close()
	info, err = file.Stat() // of what was opened
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	// Windows has no such modes: Go reports 0666 or 0444 for every file there.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %q has mode %04o, so that others can reach the key; run chmod 600 on it", path, mode)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return content, nil
}

// parseFile returns the key in a key file's content.
func parseFile(content []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(content, []byte(filePrefix))
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q, so it is not a key file; name the file that holds the key", filePrefix)
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("there is more text or a carriage return after the key; leave one line that ends with a plain newline")
	}
	if size := base64.StdEncoding.EncodedLen(KeySize); len(text) > size {
		if key, err := decodeKey(text[:size]); err == nil {
			clear(key)
			return nil, errors.New("there is text after the key; remove it, spaces too")
		}
	}
	return decodeKey(text)
}

// decodeKey returns the key in its base64 form.
func decodeKey(text []byte) ([]byte, error) {
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(key, text)
	if err != nil {
		clear(key)
		// The decoder's own error tells where the fault is, and with that a
		// little of the key.
		return nil, errors.New("what follows the prefix is not padded standard base64; restore the file from its copy")
	}
	if n != KeySize {
		clear(key)
		return nil, fmt.Errorf("the key has %d bytes, want %d; restore the file from its copy", n, KeySize)
	}
	return key[:n], nil
}
