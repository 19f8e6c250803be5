package keyringtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// tenant returns a context like those of real data keys.
func tenant() keyring.Context {
	return keyring.Context{"purpose": "data-key", "tenant": "acme"}
}

func newDEK() []byte {
	dek := make([]byte, 32)
	rand.Read(dek)
	return dek
}

// wrapNew wraps a new key under the context of a tenant.
func wrapNew(ctx context.Context, kek keyring.KEK) (dek []byte, w keyring.WrappedKey, err error) {
	dek = newDEK()
	w, err = kek.Wrap(ctx, dek, tenant())
	if err != nil {
		err = fmt.Errorf("Wrap failed unexpectedly: %w", err)
	}
	return dek, w, err
}

// unwraps returns an error unless w unwraps to dek under c.
func unwraps(ctx context.Context, kek keyring.KEK, w keyring.WrappedKey, c keyring.Context, dek []byte) error {
	got, err := kek.Unwrap(ctx, w, c)
	if err != nil {
		return fmt.Errorf("Unwrap rejected the result of Wrap: %w", err)
	}
	if !bytes.Equal(got, dek) {
		return errors.New("Unwrap did not return the bytes that Wrap received")
	}
	return nil
}

func checkRoundTrip(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	for name, c := range map[string]keyring.Context{
		"a tenant's":  tenant(),
		"a nil":       nil,
		"a non-ASCII": {"ключ": "värde ☂"},
		"a full":      fullContext(),
	} {
		dek := newDEK()
		w, err := kek.Wrap(ctx, dek, c)
		if err != nil {
			return fmt.Errorf("Wrap under %s context failed: %w", name, err)
		}
		if err := unwraps(ctx, kek, w, c, dek); err != nil {
			return fmt.Errorf("under %s context: %w", name, err)
		}
	}
	dek := newDEK()
	w, err := kek.Wrap(ctx, dek, nil)
	if err != nil {
		return err
	}
	if err := unwraps(ctx, kek, w, keyring.Context{}, dek); err != nil {
		return fmt.Errorf("a nil and an empty context must be the same: %w", err)
	}
	return nil
}

func checkID(ctx context.Context, newKEK func(string) keyring.KEK) error {
	a, b := newKEK("suite-a"), newKEK("suite-b")
	id := a.ID()
	if id.Service == "" || len(id.Service) > 64 || id.Key == "" || len(id.Key) > 1024 {
		return fmt.Errorf("the Service of a KEKID must have 1 to 64 bytes, and its Key 1 to 1024; got %q", id)
	}
	if id == b.ID() {
		return fmt.Errorf("two keys have the same ID %q", id)
	}
	if _, _, err := wrapNew(ctx, a); err != nil {
		return err
	}
	for range 3 {
		if a.ID() != id {
			return fmt.Errorf("the ID changed from %q to %q", id, a.ID())
		}
	}
	return nil
}

func checkWrappedKey(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	var version string
	for i := range 3 {
		_, w, err := wrapNew(ctx, kek)
		if err != nil {
			return err
		}
		if w.KEK != kek.ID() {
			return fmt.Errorf("a wrapped key names %q, but the ID is %q", w.KEK, kek.ID())
		}
		if len(w.Version) > 1024 {
			return fmt.Errorf("the version has %d bytes; at most 1024 are allowed", len(w.Version))
		}
		if len(w.Blob) < 1 || len(w.Blob) > 4096 {
			return fmt.Errorf("the blob has %d bytes, want 1 to 4096", len(w.Blob))
		}
		if i > 0 && w.Version != version {
			return fmt.Errorf("the version changed from %q to %q without a rotation", version, w.Version)
		}
		version = w.Version
	}
	return nil
}

func checkOtherKey(ctx context.Context, newKEK func(string) keyring.KEK) error {
	a, b := newKEK("suite-a"), newKEK("suite-b")
	_, w, err := wrapNew(ctx, a)
	if err != nil {
		return err
	}
	got, err := b.Unwrap(ctx, w, tenant())
	if err := checkRefused(got, err, keyring.ErrNoKey, keyring.ErrTampered); err != nil {
		return fmt.Errorf("wrapped under another KEK: %w", err)
	}
	w.KEK = b.ID()
	got, err = b.Unwrap(ctx, w, tenant())
	if err := checkRefused(got, err, keyring.ErrNoKey, keyring.ErrTampered); err != nil {
		return fmt.Errorf("wrapped under another KEK and relabeled: %w", err)
	}
	return nil
}

func checkChangedBlob(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	dek, w, err := wrapNew(ctx, kek)
	if err != nil {
		return err
	}
	// A change may affect the name of a key or of a version. It must never look like an
	// outage, which would cause retries.
	refusals := slices.DeleteFunc(slices.Clone(classes), func(class error) bool { return class == keyring.ErrUnavailable })
	blob := w.Blob
	for i := range blob {
		w.Blob = bytes.Clone(blob)
		w.Blob[i] ^= 1
		got, err := kek.Unwrap(ctx, w, tenant())
		if err == nil && bytes.Equal(got, dek) {
			continue // unused bits, such as the last ones in base64
		}
		if err := checkRefused(got, err, refusals...); err != nil {
			return fmt.Errorf("byte %d of %d changed: %w", i, len(blob), err)
		}
	}
	for n := range len(blob) {
		w.Blob = bytes.Clone(blob[:n])
		got, err := kek.Unwrap(ctx, w, tenant())
		if err := checkRefused(got, err, refusals...); err != nil {
			return fmt.Errorf("cut to %d of %d bytes: %w", n, len(blob), err)
		}
	}
	w.Blob = append(bytes.Clone(blob), 0)
	got, err := kek.Unwrap(ctx, w, tenant())
	if err := checkRefused(got, err, refusals...); err != nil {
		return fmt.Errorf("with a byte appended: %w", err)
	}
	return nil
}

func checkGarbage(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	random := make([]byte, 4096)
	rand.Read(random)
	for _, blob := range [][]byte{
		nil, {}, {0}, []byte("short"), make([]byte, 12), make([]byte, 28), make([]byte, 60),
		make([]byte, 4096), random[:1], random[:100], random, []byte("vault:v1:"), []byte("::::"),
	} {
		for _, version := range []string{"", "0", "-1", "\xff"} {
			w := keyring.WrappedKey{KEK: kek.ID(), Version: version, Blob: blob}
			got, err := kek.Unwrap(ctx, w, tenant())
			refusals := []error{keyring.ErrMalformed, keyring.ErrTampered, keyring.ErrNoKey}
			if err := checkRefused(got, err, refusals...); err != nil {
				return fmt.Errorf("a random blob of %d bytes: %w", len(blob), err)
			}
		}
	}
	return nil
}

func checkArguments(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	dek, c := newDEK(), tenant()
	before := bytes.Clone(dek)
	w, err := kek.Wrap(ctx, dek, c)
	if err != nil {
		return fmt.Errorf("Wrap failed unexpectedly: %w", err)
	}
	if !bytes.Equal(dek, before) {
		return errors.New("Wrap changed the key in its argument")
	}
	if !maps.Equal(c, tenant()) {
		return errors.New("Wrap changed the context in its argument")
	}
	blob := bytes.Clone(w.Blob)
	if err := unwraps(ctx, kek, w, c, dek); err != nil {
		return err
	}
	if !bytes.Equal(w.Blob, blob) {
		return errors.New("Unwrap changed the blob in its argument")
	}
	if !maps.Equal(c, tenant()) {
		return errors.New("Unwrap changed the context in its argument")
	}
	return nil
}

func checkKept(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	dek, c := newDEK(), tenant()
	want := bytes.Clone(dek)
	w, err := kek.Wrap(ctx, dek, c)
	if err != nil {
		return fmt.Errorf("Wrap failed unexpectedly: %w", err)
	}
	clear(dek)
	clear(c)
	if err := unwraps(ctx, kek, w, tenant(), want); err != nil {
		return fmt.Errorf("after the caller cleared the arguments of Wrap: %w", err)
	}

	blob := bytes.Clone(w.Blob)
	if _, _, err := wrapNew(ctx, kek); err != nil {
		return err
	}
	if !bytes.Equal(w.Blob, blob) {
		return errors.New("the next Wrap wrote into the blob of the previous one")
	}

	first, err := kek.Unwrap(ctx, w, tenant())
	if err != nil {
		return fmt.Errorf("Unwrap rejected the result of Wrap: %w", err)
	}
	clear(first)
	if err := unwraps(ctx, kek, w, tenant(), want); err != nil {
		return fmt.Errorf("after the caller cleared an unwrapped key: %w", err)
	}
	clear(w.Blob)
	w.Blob = blob
	if err := unwraps(ctx, kek, w, tenant(), want); err != nil {
		return fmt.Errorf("after the caller cleared a blob: %w", err)
	}
	return nil
}

func checkEndedContext(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	_, w, err := wrapNew(ctx, kek)
	if err != nil {
		return err
	}
	ended, end := context.WithCancel(ctx)
	end()
	calls := map[string]func() error{
		"Wrap":   func() error { _, err := kek.Wrap(ended, newDEK(), tenant()); return err },
		"Unwrap": func() error { _, err := kek.Unwrap(ended, w, tenant()); return err },
	}
	for name, call := range calls {
		prompt, err := within(patience, call)
		if !prompt {
			return fmt.Errorf("%s did not return within %s after its context was done", name, patience)
		}
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s with a canceled context returned the error %v, want one that wraps context.Canceled", name, err)
		}
	}
	return nil
}

// within reports whether call returns in time, and returns its error.
func within(limit time.Duration, call func() error) (prompt bool, err error) {
	result := make(chan error, 1)
	go func() { result <- catchPanic(call) }()
	select {
	case err := <-result:
		return true, err
	case <-time.After(limit):
		return false, nil
	}
}

func checkConcurrency(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	failures := make(chan error, 16)
	var group sync.WaitGroup
	for i := range cap(failures) {
		group.Go(func() {
			failures <- catchPanic(func() error { return caller(ctx, kek, i) })
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return fmt.Errorf("with %d concurrent callers: %w", cap(failures), err)
		}
	}
	return nil
}

// caller wraps and unwraps a few keys under the context of one caller.
func caller(ctx context.Context, kek keyring.KEK, number int) error {
	c := keyring.Context{"tenant": fmt.Sprint("acme-", number)}
	for range 5 {
		dek := newDEK()
		w, err := kek.Wrap(ctx, dek, c)
		if err != nil {
			return err
		}
		if err := unwraps(ctx, kek, w, c, dek); err != nil {
			return err
		}
	}
	return nil
}

func checkClasses(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek, ok := newKEK("suite").(Breaker)
	if !ok {
		return errors.New("newKEK must return a Breaker either always or never")
	}
	dek, w, err := wrapNew(ctx, kek)
	if err != nil {
		return err
	}
	for _, class := range serviceClasses {
		if !kek.Break(class) {
			continue
		}
		got, err := kek.Unwrap(ctx, w, tenant())
		if err := onlyClass(checkRefused(got, err, class), err, class); err != nil {
			return fmt.Errorf("Unwrap with the service failing with %q: %w", class, err)
		}
		_, err = kek.Wrap(ctx, dek, tenant())
		if err := onlyClass(checkRefused(nil, err, class), err, class); err != nil {
			return fmt.Errorf("Wrap with the service failing with %q: %w", class, err)
		}
		kek.Break(nil)
		if err := unwraps(ctx, kek, w, tenant(), dek); err != nil {
			return fmt.Errorf("after the service was repaired: %w", err)
		}
	}
	return nil
}

// onlyClass returns breach, or an error if err wraps another class than want.
func onlyClass(breach, err, want error) error {
	if breach != nil {
		return breach
	}
	for _, class := range classes {
		if class != want && errors.Is(err, class) {
			return fmt.Errorf("the error %q also wraps %q", err, class)
		}
	}
	return nil
}
