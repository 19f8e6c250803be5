package redact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
)

func TestOptions_Marker(t *testing.T) {
	require.Equal(t, "a [DEPLOY_TOKEN] b", redact.New(secret("DEPLOY_TOKEN", "s3cr3t")).String("a s3cr3t b"))
	stars := redact.NewWithOptions(&redact.Options{Marker: "***"}, secret("A", "s3cr3t"), secret("B", "0therone"))
	require.Equal(t, "*** ***", stars.String("s3cr3t 0therone"))
	require.Equal(t, "[REDACTED]", redact.New(secret("not a name\n", "s3cr3t")).String("s3cr3t"), "an invalid name is not shown")
	require.Equal(t, "[FIRST]", redact.New(secret("FIRST", "s3cr3t"), secret("SECOND", "s3cr3t")).String("s3cr3t"), "the first of two names for a value is shown")
}

func TestRedactor_Unmaskable(t *testing.T) {
	t.Run("lists short values, which are not masked", func(t *testing.T) {
		r := redact.New(secret("PIN", "12345"), secret("LONG", "123456"), secret("EMPTY", ""), secret("ALSO", "ü🙂"), secret("BLANK", "a\n"))
		require.Equal(t, []string{"BLANK", "PIN"}, r.Unmaskable(), "an empty value reveals nothing")
		require.Equal(t, "12345 a\n[LONG]", r.String("12345 a\n123456"))
		padded := redact.New(secret("ENTER", "12345\n"), secret("INDENT", "        "))
		require.Equal(t, []string{"ENTER", "INDENT"}, padded.Unmaskable(), "trailing whitespace does not count, because it is often dropped")
		require.Equal(t, "12345 [ENTER]        ", padded.String("12345 12345\n        "), "the value with its whitespace is masked, but whitespace alone is not")
		require.Equal(t, `caf\u00e9 \303\251 [X]`, redact.New(secret("X", "é        ")).String(`caf\u00e9 \303\251 é        `), "the forms of a value that is short without whitespace are not masked")
		r.Update(bundleOf(t, secret("LATER", "abc")))
		require.Equal(t, []string{"BLANK", "LATER", "PIN"}, r.Unmaskable())
		r.Update(nil)
		require.Equal(t, []string{"BLANK", "PIN"}, r.Unmaskable(), "only secrets in use are listed")
		require.Empty(t, redact.New().Unmaskable())
	})
}

func TestNew(t *testing.T) {
	t.Run("masks nothing without secrets", func(t *testing.T) {
		r := redact.New()
		require.Equal(t, "anything at all", r.String("anything at all"))
		require.Equal(t, "anything at all", written(t, r, "anything ", "at all"))
	})
}

func TestRedactor_Bytes(t *testing.T) {
	t.Run("does not change its input", func(t *testing.T) {
		r := redact.New(secret("A", "s3cr3t"))
		in := []byte("a s3cr3t b")
		require.Equal(t, "a [A] b", string(r.Bytes(in)))
		require.Equal(t, "a s3cr3t b", string(in))
	})
}

func TestRedactor_Update(t *testing.T) {
	t.Run("keeps masking a rotated value for a day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := redact.New(secret("FIXED", "added-once"))
			r.Update(bundleOf(t, secret("KEY", "value-one"), secret("GONE", "value-gone")))
			time.Sleep(time.Hour)
			r.Update(bundleOf(t, secret("KEY", "value-two")))
			const text = "value-one value-two value-gone added-once"
			require.Equal(t, "[KEY] [KEY] [GONE] [FIXED]", r.String(text), "old values stay masked")
			time.Sleep(12 * time.Hour)
			r.Update(bundleOf(t, secret("KEY", "value-two")))
			time.Sleep(12*time.Hour - time.Nanosecond)
			require.Equal(t, "[KEY] [KEY] [GONE] [FIXED]", r.String(text), "the day starts with the update that drops them")
			w := r.Writer(io.Discard)
			_, err := io.WriteString(w, "value-o")
			require.NoError(t, err)
			time.Sleep(time.Nanosecond)
			require.Equal(t, "value-one [KEY] value-gone [FIXED]", r.String(text), "they are then forgotten without an update; current and added values are not")
			_, err = io.WriteString(w, "ne")
			require.NoError(t, err)
			require.NoError(t, w.Close())
		})
	})

	t.Run("treats a returning value as in use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := redact.NewWithOptions(&redact.Options{KeepFor: time.Hour})
			r.Update(bundleOf(t, secret("KEY", "value-one")))
			r.Update(bundleOf(t, secret("KEY", "value-two")))
			time.Sleep(30 * time.Minute)
			r.Update(bundleOf(t, secret("OTHER", "value-one")))
			require.Equal(t, "[OTHER]", r.String("value-one"), "the current name takes precedence over the old one")
			r.Update(bundleOf(t, secret("KEY", "value-one")))
			time.Sleep(2 * time.Hour)
			require.Equal(t, "[KEY] value-two", r.String("value-one value-two"))
			r.Update(nil)
			time.Sleep(time.Hour)
			require.Equal(t, "value-one", r.String("value-one"))
		})
	})

	t.Run("can forget values immediately", func(t *testing.T) {
		r := redact.NewWithOptions(&redact.Options{KeepFor: -1})
		r.Update(bundleOf(t, secret("KEY", "value-one")))
		require.Equal(t, "[KEY]", r.String("value-one"))
		r.Update(nil)
		require.Equal(t, "value-one", r.String("value-one"))
	})
}

func TestRedactor_Format(t *testing.T) {
	t.Run("no type of the package prints a secret", func(t *testing.T) {
		const value = "canary-4f9a7c2e1b8d6350"
		r := redact.New(secret("KEY", value))
		w := r.Writer(io.Discard)
		_, err := io.WriteString(w, value[:20])
		require.NoError(t, err)
		reader := r.Reader(strings.NewReader(value[:20] + strings.Repeat("x", 100)))
		_, err = reader.Read(make([]byte, 1))
		require.NoError(t, err)
		logger := slog.New(redact.Handler(slog.NewTextHandler(io.Discard, nil), r)).With("token", value)
		logger.Info(value)
		masked := r.Error(fmt.Errorf("using %s: %w", value, io.EOF))
		for name, x := range map[string]any{
			"Redactor": r, "Redactor by value": *r, "Writer": w, "Writer by value": *w, "Reader": reader,
			"Handler": logger.Handler(), "Transport": redact.Transport{Redactor: r}, "error": masked,
			"holder": struct {
				r *redact.Redactor
				w *redact.Writer
			}{r, w},
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				require.NotContains(t, fmt.Sprintf(verb, x), "canary", "%s prints the secret with %s", name, verb)
				require.NotContains(t, fmt.Sprintf(verb, x), "63616e617279", "%s prints the secret with %s", name, verb)
			}
			require.NotContains(t, assertionMessage(x), "canary", "a failed comparison of a %s shows the secret", name)
		}
	})
}

// assertionMessage returns testify's message for an unexpected x.
func assertionMessage(x any) string {
	var messages recorder
	assert.Equal(&messages, nil, x)
	return string(messages)
}

type recorder string

func (r *recorder) Errorf(format string, args ...any) { *r += recorder(fmt.Sprintf(format, args...)) }

func TestRedactor_Error(t *testing.T) {
	t.Run("masks the text and still matches the cause", func(t *testing.T) {
		r := redact.New(secret("KEY", "s3cr3t-value"))
		require.NoError(t, r.Error(nil))
		plain := &http.MaxBytesError{Limit: 5}
		require.Same(t, plain, r.Error(plain), "an error without a match is returned unchanged")

		cause := fmt.Errorf("dialing with s3cr3t-value: %w", context.DeadlineExceeded)
		masked := r.Error(cause)
		require.EqualError(t, masked, "dialing with [KEY]: context deadline exceeded")
		require.ErrorIs(t, masked, context.DeadlineExceeded)
		require.NotErrorIs(t, masked, context.Canceled)
		require.Nil(t, errors.Unwrap(masked), "the cause cannot be unwrapped and printed")
		timeout, ok := errors.AsType[interface {
			error
			Timeout() bool
			Temporary() bool
		}](masked)
		require.True(t, ok)
		require.True(t, timeout.Timeout(), "the masked error is a timeout if its cause is one")
		require.True(t, timeout.Temporary())
		require.Equal(t, `"dialing with [KEY]: context deadline exceeded"`, fmt.Sprintf("%q", masked))

		require.Equal(t, "[KEY]", fmt.Sprintf("%+v", r.Error(detailed{})), "the detail of %%+v is masked too")
		require.Equal(t, "short", r.Error(detailed{}).Error())
		require.NotPanics(t, func() { _ = r.Error((*broken)(nil)) })
	})
}

type detailed struct{}

func (detailed) Error() string { return "short" }
func (detailed) Format(f fmt.State, _ rune) {
	if f.Flag('+') {
		_, _ = io.WriteString(f, "s3cr3t-value")
		return
	}
	_, _ = io.WriteString(f, "short")
}

type broken struct{ text string }

func (b *broken) Error() string { return b.text }
