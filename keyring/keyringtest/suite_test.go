package keyringtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func TestRun_Fake(t *testing.T) {
	Run(t, func(t *testing.T, id string) keyring.KEK { return NewFake(id) })
}

// A broken KEK differs from a Fake in one method.
type broken struct {
	*Fake
	id     func() keyring.KEKID
	wrap   func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error)
	unwrap func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error)
}

func (b *broken) ID() keyring.KEKID { return b.id() }

func (b *broken) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	return b.wrap(ctx, dek, c)
}

func (b *broken) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	return b.unwrap(ctx, w, c)
}

func newBroken(id string) *broken {
	f := NewFake(id)
	return &broken{Fake: f, id: f.ID, wrap: f.Wrap, unwrap: f.Unwrap}
}

func TestRun_BrokenKEKs(t *testing.T) {
	for name, test := range map[string]struct {
		newKEK func(id string) keyring.KEK
		rule   string // the rule that it violates
		text   string // part of the error
	}{
		"ignores its context":                  {ignoresContext, "another context is rejected", "must fail"},
		"joins its context with separators":    {joinsContext, "contexts that join alike differ", "must fail"},
		"binds the beginning of its context":   {rewrites(beginning), "the entire context is bound", "a value of 1024"},
		"binds the two ends of its context":    {rewrites(bothEnds), "the entire context is bound", "a value of 1024"},
		"binds the beginning of each value":    {rewrites(values(beginningOf)), "the entire context is bound", "a value of 1024"},
		"binds the first of many pairs":        {rewrites(firstPairs), "the entire context is bound", "32 pairs"},
		"folds the case of values":             {rewrites(values(strings.ToLower)), "contexts that look alike differ", "the same value"},
		"folds the case of keys":               {rewrites(keys(strings.ToLower)), "contexts that look alike differ", "TENANT"},
		"trims values":                         {rewrites(values(strings.TrimSpace)), "contexts that look alike differ", "the same value"},
		"trims the ends of values":             {rewrites(values(trimEnd)), "contexts that look alike differ", "with a space after it"},
		"trims keys":                           {rewrites(keys(strings.TrimSpace)), "contexts that look alike differ", "tenant"},
		"ends values at a zero byte":           {rewrites(values(untilZero)), "contexts that look alike differ", "with a zero byte after it"},
		"ignores the identity of the key":      {ignoresKey(), "another key is rejected", "must fail"},
		"panics on short input":                {panicsOnShort, "garbage is rejected with a class", "panicked"},
		"does not authenticate":                {malleable, "a changed blob is rejected", "must fail"},
		"keeps the key of its argument":        {keepsDEK, "nothing is kept or shared", "the arguments of Wrap"},
		"shares the key it unwraps":            {sharesDEK, "nothing is kept or shared", "cleared an unwrapped key"},
		"reuses the blob it returned":          {reusesBlob, "nothing is kept or shared", "next Wrap wrote"},
		"clears the key of its argument":       {clearsDEK, "arguments stay unchanged", "changed the key"},
		"adds to the context of its argument":  {addsToContext, "arguments stay unchanged", "changed the context"},
		"calls a refusal unavailable":          {callsTamperedUnavailable, "another context is rejected", "want an error that wraps"},
		"calls a changed blob unavailable":     {callsChangedUnavailable, "a changed blob is rejected", "want an error that wraps"},
		"calls denied unavailable":             {callsDeniedUnavailable, "each failure has its class", "access denied"},
		"wraps two classes":                    {wrapsTwoClasses, "each failure has its class", "also wraps"},
		"refuses without a class":              {refusesWithoutClass, "garbage is rejected with a class", "want an error that wraps"},
		"returns bytes with its error":         {returnsBytesWithError, "another context is rejected", "bytes were returned"},
		"continues after its context ends":     {ignoresEnd, "a canceled context ends the call", "Wrap with a canceled context"},
		"changes its ID":                       {changesID, "the ID is constant", "the ID changed"},
		"has an ID without a service":          {emptyService, "the ID is constant", "1 to 64 bytes"},
		"has the ID of another":                {sameID, "the ID is constant", "two keys"},
		"names another KEK":                    {namesAnother, "a wrapped key names its KEK", "names"},
		"rotates by itself":                    {rotates, "a wrapped key names its KEK", "the version changed"},
		"shows the key":                        {showsKey, "the blob does not show the key", "shows the data key"},
		"shows the key in hexadecimal":         {showsEncoded(hex.EncodeToString), "the blob does not show the key", "shows the data key"},
		"shows the key in base64":              {showsEncoded(base64.StdEncoding.EncodeToString), "the blob does not show the key", "shows the data key"},
		"shows the key for URLs":               {showsEncoded(base64.RawURLEncoding.EncodeToString), "the blob does not show the key", "shows the data key"},
		"shows the key after other bytes":      {showsEncoded(afterOthers), "the blob does not show the key", "shows the data key"},
		"shows the key encoded twice":          {showsEncoded(encodedTwice), "the blob does not show the key", "shows the data key"},
		"has the key as its version":           {hasKeyAsVersion, "the blob does not show the key", "shows the data key"},
		"has one nonce":                        {oneNonce(bytes.Clone), "no nonce repeats", "how the keys differ"},
		"has one nonce and writes base64":      {oneNonce(likeVault), "no nonce repeats", "how the keys differ"},
		"quotes the key when it cannot wrap":   {quotesWrapped(raw), "errors do not show the key", "the error of Wrap"},
		"quotes the key in hexadecimal":        {quotesWrapped(hex.EncodeToString), "errors do not show the key", "the error of Wrap"},
		"quotes the key in base64":             {quotesWrapped(base64.StdEncoding.EncodeToString), "errors do not show the key", "the error of Wrap"},
		"prints the key":                       {quotesWrapped(printed), "errors do not show the key", "the error of Wrap"},
		"quotes the key when denied":           {quotesWhen(keyring.ErrDenied), "errors do not show the key", "access denied"},
		"quotes the key when canceled":         {quotesWhen(context.Canceled), "errors do not show the key", "a canceled context"},
		"quotes the key when refused":          {quotesWhen(keyring.ErrTampered), "errors do not show the key", "another context"},
		"quotes the key of a changed blob":     {quotesWhen(keyring.ErrMalformed), "errors do not show the key", "the error of Unwrap"},
		"quotes the key of another KEK":        {quotesWhen(keyring.ErrNoKey), "errors do not show the key", "a changed wrapped key"},
		"serves one caller at a time":          {servesOne, "many concurrent callers", "concurrent callers"},
		"unwraps to a key of another length":   {shortens, "a wrapped key unwraps", "did not return the bytes"},
		"cannot wrap under an empty context":   {refusesEmpty, "a wrapped key unwraps", "nil context failed"},
		"distinguishes nil and empty contexts": {nilDiffers, "a wrapped key unwraps", "must be the same"},
		"stays broken after a failure":         {staysBroken, "each failure has its class", "repaired"},
	} {
		t.Run(name, func(t *testing.T) {
			all := append(slices.Clone(rules), breakerRule)
			i := slices.IndexFunc(all, func(r rule) bool { return r.name == test.rule })
			require.NotEqual(t, -1, i, "the suite has the rule")
			err := catchPanic(func() error { return all[i].check(t.Context(), test.newKEK) })
			require.ErrorContains(t, err, test.text, "the rule rejects it and gives the reason")
		})
	}
}

func ignoresContext(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, _ keyring.Context) (keyring.WrappedKey, error) {
		return b.Fake.Wrap(ctx, dek, nil)
	}
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, _ keyring.Context) ([]byte, error) {
		return b.Fake.Unwrap(ctx, w, nil)
	}
	return b
}

func joinsContext(id string) keyring.KEK {
	joined := func(c keyring.Context) keyring.Context {
		var pairs []string
		for key, value := range c {
			pairs = append(pairs, key+"="+value)
		}
		slices.Sort(pairs)
		return keyring.Context{"joined": strings.Join(pairs, ",")}
	}
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		return b.Fake.Wrap(ctx, dek, joined(c))
	}
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		return b.Fake.Unwrap(ctx, w, joined(c))
	}
	return b
}

func ignoresKey() func(id string) keyring.KEK {
	one := NewFake("one")
	return func(id string) keyring.KEK {
		b := newBroken(id)
		b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
			w, err := one.Wrap(ctx, dek, c)
			w.KEK = b.ID()
			return w, err
		}
		b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
			w.KEK = one.ID()
			return one.Unwrap(ctx, w, c)
		}
		return b
	}
}

func panicsOnShort(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		nonce, rest := w.Blob[:12], w.Blob[12:]
		w.Blob = append(bytes.Clone(nonce), rest...)
		return b.Fake.Unwrap(ctx, w, c)
	}
	return b
}

// malleable masks the key with a pad and does not authenticate it.
func malleable(id string) keyring.KEK {
	pad := newDEK()
	b := newBroken(id)
	b.wrap = func(_ context.Context, dek []byte, _ keyring.Context) (keyring.WrappedKey, error) {
		blob := bytes.Clone(dek)
		for i := range blob {
			blob[i] ^= pad[i]
		}
		return keyring.WrappedKey{KEK: b.ID(), Blob: blob}, nil
	}
	b.unwrap = func(_ context.Context, w keyring.WrappedKey, _ keyring.Context) ([]byte, error) {
		dek := bytes.Clone(w.Blob)
		for i := range dek {
			dek[i] ^= pad[i%len(pad)]
		}
		return dek, nil
	}
	return b
}

func keepsDEK(id string) keyring.KEK {
	kept := map[string][]byte{}
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		kept[string(w.Blob)] = dek
		return w, err
	}
	b.unwrap = func(_ context.Context, w keyring.WrappedKey, _ keyring.Context) ([]byte, error) {
		return bytes.Clone(kept[string(w.Blob)]), nil
	}
	return b
}

func sharesDEK(id string) keyring.KEK {
	cache := map[string][]byte{}
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		if dek, ok := cache[string(w.Blob)]; ok {
			return dek, nil
		}
		dek, err := b.Fake.Unwrap(ctx, w, c)
		cache[string(w.Blob)] = dek
		return dek, err
	}
	return b
}

func reusesBlob(id string) keyring.KEK {
	var buffer []byte
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		buffer = append(buffer[:0], w.Blob...)
		w.Blob = buffer
		return w, err
	}
	return b
}

func clearsDEK(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		defer clear(dek)
		return b.Fake.Wrap(ctx, dek, c)
	}
	return b
}

func addsToContext(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		c["wrapped-by"] = id
		return b.Fake.Wrap(ctx, dek, c)
	}
	return b
}

func callsTamperedUnavailable(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if errors.Is(err, keyring.ErrTampered) {
			err = keyring.ErrUnavailable
		}
		return dek, err
	}
	return b
}

// callsChangedUnavailable reports an invalid blob as a truncated response.
func callsChangedUnavailable(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if errors.Is(err, keyring.ErrMalformed) {
			err = keyring.ErrUnavailable
		}
		return dek, err
	}
	return b
}

func callsDeniedUnavailable(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if errors.Is(err, keyring.ErrDenied) {
			err = keyring.ErrUnavailable
		}
		return dek, err
	}
	return b
}

func wrapsTwoClasses(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		if err != nil {
			err = errors.Join(err, keyring.ErrUnavailable)
		}
		return w, err
	}
	return b
}

func refusesWithoutClass(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if err != nil {
			err = errors.New("it did not work")
		}
		return dek, err
	}
	return b
}

func returnsBytesWithError(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if err != nil {
			dek = []byte{}
		}
		return dek, err
	}
	return b
}

func ignoresEnd(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		return b.Fake.Wrap(context.WithoutCancel(ctx), dek, c)
	}
	return b
}

func changesID(id string) keyring.KEK {
	b := newBroken(id)
	b.id = func() keyring.KEKID {
		return keyring.KEKID{Service: "fake", Key: fmt.Sprint(id, "-", b.Fake.Wraps())}
	}
	return b
}

func emptyService(id string) keyring.KEK {
	b := newBroken(id)
	b.id = func() keyring.KEKID { return keyring.KEKID{Key: id} }
	return b
}

func sameID(id string) keyring.KEK {
	b := newBroken(id)
	b.id = func() keyring.KEKID { return keyring.KEKID{Service: "fake", Key: "alias"} }
	return b
}

func namesAnother(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		w.KEK.Key = "alias"
		return w, err
	}
	return b
}

func rotates(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		b.Fake.Rotate()
		return b.Fake.Wrap(ctx, dek, c)
	}
	return b
}

func showsKey(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		w.Blob = append(w.Blob, dek...)
		return w, err
	}
	return b
}

// servesOne waits for a second caller while it serves the first, and rejects the second.
func servesOne(id string) keyring.KEK {
	var one sync.Mutex
	second := make(chan struct{})
	var once sync.Once
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		if !one.TryLock() {
			once.Do(func() { close(second) })
			return keyring.WrappedKey{}, keyring.ErrUnavailable
		}
		defer one.Unlock()
		select {
		case <-second:
		case <-time.After(patience):
		}
		return b.Fake.Wrap(ctx, dek, c)
	}
	return b
}

func shortens(id string) keyring.KEK {
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		return dek[:min(16, len(dek))], err
	}
	return b
}

func refusesEmpty(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		if len(c) == 0 {
			return keyring.WrappedKey{}, keyring.ErrMalformed
		}
		return b.Fake.Wrap(ctx, dek, c)
	}
	return b
}

func nilDiffers(id string) keyring.KEK {
	marked := func(c keyring.Context) keyring.Context {
		if c == nil {
			return keyring.Context{"nil": ""}
		}
		return c
	}
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		return b.Fake.Wrap(ctx, dek, marked(c))
	}
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		return b.Fake.Unwrap(ctx, w, marked(c))
	}
	return b
}

// staysBroken does not recover from the first failure of its service.
func staysBroken(id string) keyring.KEK {
	var failure error
	b := newBroken(id)
	b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
		dek, err := b.Fake.Unwrap(ctx, w, c)
		if failure == nil {
			failure = err
		}
		if failure != nil {
			return nil, failure
		}
		return dek, err
	}
	return b
}
