package keyringtest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/satchelhq/satchel/keyring"
)

func checkHidden(ctx context.Context, newKEK func(string) keyring.KEK) error {
	dek, w, err := wrapNew(ctx, newKEK("suite"))
	if err != nil {
		return err
	}
	if shows(w.Blob, dek) || shows([]byte(w.Version), dek) {
		return errors.New("the wrapped key shows the data key")
	}
	return nil
}

// checkUnrelated detects a keystream that encrypts two keys, as when a nonce of GCM or
// CTR repeats: the XOR of the blobs then contains the XOR of the keys. Wrapping without
// a nonce, as in RFC 3394 and RFC 5297, is allowed.
func checkUnrelated(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	var deks, blobs [8][]byte
	for i := range deks {
		dek, w, err := wrapNew(ctx, kek)
		if err != nil {
			return err
		}
		deks[i], blobs[i] = dek, bytes.Clone(w.Blob)
		for j := range i {
			if related(blobs[i], blobs[j], difference(deks[i], deks[j])) {
				return errors.New("two wrapped keys show how the keys differ, as with a repeated nonce")
			}
		}
	}
	return nil
}

// related reports whether the XOR of two blobs contains keys, the XOR of two keys.
func related(a, b, keys []byte) bool {
	for _, a := range readings(a, 1) {
		for _, b := range readings(b, 1) {
			if holds(difference(a, b), keys) {
				return true
			}
		}
	}
	return false
}

// difference returns a XOR b, with the length of the shorter.
func difference(a, b []byte) []byte {
	d := make([]byte, min(len(a), len(b)))
	subtle.XORBytes(d, a, b)
	return d
}

// checkErrors makes calls fail in every way that a caller and a Breaker can, and
// searches the errors for the key.
func checkErrors(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	dek, w, err := wrapNew(ctx, kek)
	if err != nil {
		return err
	}
	f := failing{kek, dek}
	for _, c := range []keyring.Context{nil, {"purpose": "data-key", "tenant": "other"}, {"tenant": "\xff"}} {
		if err := f.silent(ctx, w, c); err != nil {
			return fmt.Errorf("under another context: %w", err)
		}
	}
	for _, changed := range changedKeys(w) {
		if err := f.silent(ctx, changed, tenant()); err != nil {
			return fmt.Errorf("with a changed wrapped key: %w", err)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := f.silent(ended, w, tenant()); err != nil {
		return fmt.Errorf("under a canceled context: %w", err)
	}
	breaker, ok := kek.(Breaker)
	if !ok {
		return nil
	}
	for _, class := range serviceClasses {
		if !breaker.Break(class) {
			continue
		}
		if err := f.silent(ctx, w, tenant()); err != nil {
			return fmt.Errorf("with the service failing with %q: %w", class, err)
		}
		breaker.Break(nil)
	}
	return nil
}

// failing is a KEK whose calls fail, and the key that its errors must not show.
type failing struct {
	kek keyring.KEK
	dek []byte
}

// silent returns an error if the error of Wrap or Unwrap shows the key. Another rule
// covers calls that do not return.
func (f failing) silent(ctx context.Context, w keyring.WrappedKey, c keyring.Context) error {
	calls := map[string]func() error{
		"Wrap":   func() error { _, err := f.kek.Wrap(ctx, bytes.Clone(f.dek), c); return err },
		"Unwrap": func() error { _, err := f.kek.Unwrap(ctx, w, c); return err },
	}
	for name, call := range calls {
		_, err := within(patience, call)
		if err != nil && shows([]byte(err.Error()), f.dek) {
			return fmt.Errorf("the error of %s shows the key", name) // the error itself must not be printed
		}
	}
	return nil
}

// changedKeys returns variants of w with one change each.
func changedKeys(w keyring.WrappedKey) []keyring.WrappedKey {
	var all []keyring.WrappedKey
	for i := 0; i < len(w.Blob); i += 1 + len(w.Blob)/4 {
		flipped, cut := w, w
		flipped.Blob = bytes.Clone(w.Blob)
		flipped.Blob[i] ^= 1
		cut.Blob = bytes.Clone(w.Blob[:i])
		all = append(all, flipped, cut)
	}
	longer, version, kek := w, w, w
	longer.Blob = append(bytes.Clone(w.Blob), 0)
	version.Version += "0"
	kek.KEK.Key += "-"
	return append(all, longer, version, kek)
}

// shows reports whether the output of a KEK contains the key: raw, in hexadecimal, in
// base64, in one of these nested in the other, or as fmt prints bytes.
func shows(out, key []byte) bool {
	for _, verb := range []string{"%v", "%#v", "% x", "% X", "%q", "%+q"} {
		if bytes.Contains(out, fmt.Appendf(nil, verb, key)) {
			return true
		}
	}
	for _, reading := range readings(out, 2) {
		if holds(reading, key) {
			return true
		}
	}
	return false
}

// holds reports whether b contains either half of the key.
func holds(b, key []byte) bool {
	half := len(key) / 2
	return bytes.Contains(b, key[:half]) || bytes.Contains(b, key[half:])
}

const (
	hexDigits   = "0123456789abcdefABCDEF"
	base64Signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
)

// readings returns b and its parts decoded as hexadecimal and as base64 of either
// alphabet, recursively up to depth. A part may begin at any offset, because the text
// before it may look like part of the encoding.
func readings(b []byte, depth int) [][]byte {
	all := [][]byte{b}
	if depth == 0 {
		return all
	}
	const least = 16 // bytes, half a key
	read := func(signs string, starts int, decode func(string) ([]byte, error)) {
		for _, part := range strings.FieldsFunc(string(b), func(c rune) bool { return !strings.ContainsRune(signs, c) }) {
			for start := range min(starts, len(part)) {
				// The error is about incomplete digits at the end, which do not matter.
				if data, _ := decode(part[start:]); len(data) >= least {
					all = append(all, readings(data, depth-1)...)
				}
			}
		}
	}
	read(hexDigits, 2, hex.DecodeString)
	standard := strings.NewReplacer("-", "+", "_", "/")
	read(base64Signs, 4, func(part string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(standard.Replace(part))
	})
	return all
}
