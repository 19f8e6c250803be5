package local

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/regularfile"
)

const (
	filePrefix = "satchel-kek-1:"
	// maxFileSize is larger than any key file, and limits reading of a wrong file.
	maxFileSize = 1024
)

// FromFile returns the KEK in a key file: one line of "satchel-kek-1:" and 32 bytes in
// standard base64, with an optional final newline. The file must be a regular one with
// mode 0600 or stricter, and belong to root or to the effective user of the process
// (mode and owner are not checked on Windows). The ID of the KEK is derived from the
// key, so that the file may be moved or copied.
//
// The errors name the file and the fix, and do not quote the content. The error for a
// missing file wraps [fs.ErrNotExist].
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

// GenerateFile generates a random key, writes it to a new key file with mode 0600 and
// returns the KEK. It never replaces a file: if one exists, the error wraps
// [fs.ErrExist]. If writing fails, it removes the partial file.
//
// Without this file everything sealed under the key is lost. Keep a copy apart from
// backups of the data.
func GenerateFile(path string) (*KEK, error) {
	key := make([]byte, KeySize)
	defer clear(key)
	rand.Read(key)
	line := base64.StdEncoding.AppendEncode([]byte(filePrefix), key)
	line = append(line, '\n')
	defer clear(line)
	err := atomicfile.Create(path, line)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key file: %w; an existing key is never replaced; load it with FromFile, or use another path", err)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return newKEK(key)
}

// readPrivate returns the content of a file that only its owner can access.
func readPrivate(path string) ([]byte, error) {
	content, err := regularfile.ReadPrivate(path, maxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key file: %w; use the path of the key file, or make one with GenerateFile", err)
	}
	if err == nil {
		return content, nil
	}
	if problem, ok := strings.CutPrefix(err.Error(), path+" "); ok { // not an error of the operating system
		return nil, fmt.Errorf("key file %q %s", path, problem)
	}
	return nil, fmt.Errorf("key file: %w", err)
}

// parseFile returns the key in the content of a key file.
func parseFile(content []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(content, []byte(filePrefix))
	if !ok {
		return nil, fmt.Errorf("not a key file: it does not begin with %q; use the path of the key file", filePrefix)
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("more text or a carriage return after the key; keep one line that ends with a plain newline")
	}
	if size := base64.StdEncoding.EncodedLen(KeySize); len(text) > size {
		if key, err := decodeKey(text[:size]); err == nil {
			clear(key)
			return nil, errors.New("text after the key; remove it, including spaces")
		}
	}
	return decodeKey(text)
}

// decodeKey decodes a key in base64.
func decodeKey(text []byte) ([]byte, error) {
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(key, text)
	if err != nil {
		clear(key)
		// The error of the decoder names the position of the fault, and so reveals
		// part of the key.
		return nil, errors.New("the text after the prefix is not padded standard base64; restore the file from its copy")
	}
	if n != KeySize {
		clear(key)
		return nil, fmt.Errorf("the key has %d bytes, want %d; restore the file from its copy", n, KeySize)
	}
	return key[:n], nil
}
