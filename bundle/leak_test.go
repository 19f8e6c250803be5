package bundle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/bundle"
)

// canary is the value of every secret in these tests.
const canary = "canary-4f9a7c2e1b8d6350-canary"

// forms are the encodings in which the canary must not appear.
var forms = func() map[string]string {
	raw := []byte(canary)
	return map[string]string{
		"a part of it":   canary[7:23],
		"hex":            hex.EncodeToString(raw),
		"HEX":            strings.ToUpper(hex.EncodeToString(raw)),
		"spaced hex":     fmt.Sprintf("% x", raw),
		"spaced HEX":     fmt.Sprintf("% X", raw),
		"Go bytes":       strings.Trim(fmt.Sprintf("%#v", raw)[len("[]byte"):], "{}"),
		"decimal bytes":  strings.Trim(fmt.Sprint(raw), "[]"),
		"base64":         base64.StdEncoding.EncodeToString(raw)[:36],
		"quoted letters": strings.Trim(fmt.Sprintf("%q", []rune(canary)), "[]"),
	}
}()

// leak returns the name of the form in which out contains the canary, or "".
func leak(out string) string {
	for form, text := range forms {
		if strings.Contains(out, text) {
			return form
		}
	}
	return ""
}

func secret(name, value string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: "test", Location: name}}
}

func mustNew(t testing.TB, secrets ...bundle.Secret) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New(secrets, nil)
	require.NoError(t, err)
	return b
}

// Types that hold secrets like those of a user.
type (
	exported struct {
		Value  bundle.Value
		Secret bundle.Secret
		Bundle *bundle.Bundle
		Ptr    *bundle.Value
		Any    any
	}
	unexported struct {
		value  bundle.Value
		secret bundle.Secret
		bundle *bundle.Bundle
		ptr    *bundle.Value
		any    any
		list   []bundle.Secret
		byName map[string]bundle.Value
	}
	embedded struct{ bundle.Value }
	// holder is an error that prints its value.
	holder struct{ value bundle.Value }
)

func (h *holder) Error() string { return fmt.Sprintf("cannot use %v, %+v, %#v", h.value, *h, *h) }

// holdings returns everything that the leak tests try to print. Each item holds
// the canary.
func holdings(t testing.TB) map[string]any {
	v := bundle.NewValue(canary)
	s := secret("TOKEN", canary)
	b := mustNew(t, s)
	merged := bundle.Merge(b, mustNew(t, secret("TOKEN", canary+"2")), mustNew(t, secret("OTHER", canary)))
	u := unexported{v, s, b, &v, v, []bundle.Secret{s}, map[string]bundle.Value{"k": v}}
	e := exported{v, s, b, &v, v}
	pv := &v
	return map[string]any{
		"Value":               v,
		"*Value":              &v,
		"**Value":             &pv,
		"Secret":              s,
		"*Secret":             &s,
		"*Bundle":             b,
		"Bundle":              *b,
		"merged *Bundle":      merged,
		"merged Bundle":       *merged,
		"Shadow":              merged.Shadowed(),
		"Trace":               merged.Trace("TOKEN"),
		"Meta":                merged.Meta(),
		"Diff":                bundle.Compare(b, merged),
		"exported fields":     e,
		"*exported fields":    &e,
		"unexported fields":   u,
		"*unexported fields":  &u,
		"embedded":            embedded{v},
		"*embedded":           &embedded{v},
		"[]Value":             []bundle.Value{v, v},
		"[1]Value":            [1]bundle.Value{v},
		"[]*Value":            []*bundle.Value{&v},
		"[]Secret":            []bundle.Secret{s},
		"[]any":               []any{v, &v, s, &s, b, *b, u, &u},
		"map to Value":        map[string]bundle.Value{"k": v},
		"map to *Secret":      map[string]*bundle.Secret{"k": &s},
		"map to any":          map[string]any{"v": v, "s": s, "b": b, "u": u},
		"map to []unexported": map[string][]unexported{"k": {u}},
		"FetchError":          bundle.FetchError{Kind: bundle.FetchPermanent, Err: fmt.Errorf("cannot use %v, %+v, %#v", v, s, u)},
		"*FetchError":         &bundle.FetchError{Err: &holder{v}},
		"wrapped error":       fmt.Errorf("fetching: %w", errors.Join(&holder{v}, fmt.Errorf("with %v %q %+v", v, v, b))),
		"error with fields":   &holder{v},
	}
}

// plain is an unprotected value, which the same routes must print.
type plain struct{ V string }

// testRoute runs print, which turns anything into text, for every holding. It
// must print a plain string; otherwise the test would prove nothing.
func testRoute(t *testing.T, print func(v any) string) {
	t.Helper()
	require.NotEmpty(t, leak(print(plain{canary})), "the route prints unprotected values")
	for name, v := range holdings(t) {
		out := print(v)
		if form := leak(out); form != "" {
			t.Errorf("a %s prints its value as %s: %s", name, form, out)
		}
	}
}

// withError is for routes that return text and an error: neither may leak.
func withError(out []byte, err error) string {
	return string(out) + fmt.Sprint(err)
}

func TestLeak(t *testing.T) {
	t.Run("no verb of fmt prints a value", func(t *testing.T) {
		subjects := holdings(t)
		flags := []string{"", "+", "-", "#", " ", "0", "+#", "# ", "-0", "8", ".3", "40.2", "+#-12.5"}
		const verbs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!"
		for _, format := range []string{"%v", "%x", "%X", "% x", "%d", "%q"} {
			require.NotEmpty(t, leak(fmt.Sprintf(format, []byte(canary))+fmt.Sprintf(format, plain{canary})), "%s prints unprotected values", format)
		}
		for name, v := range subjects {
			for _, flag := range flags {
				for _, verb := range verbs {
					format := "%" + flag + string(verb)
					if out := fmt.Sprintf(format, v); leak(out) != "" {
						t.Errorf("a %s prints its value by %s: %s", name, format, out)
					}
					if err := fmt.Errorf(format, v); leak(err.Error()) != "" {
						t.Errorf("a %s shows its value in an error made with %s: %s", name, format, err)
					}
				}
			}
			for _, format := range []string{"no verb", "%*d", "%[2]d", "%d %d", "%.*f"} {
				if out := fmt.Sprintf(format, v, v, v); leak(out) != "" {
					t.Errorf("a %s prints its value as a misplaced argument of %q: %s", name, format, out)
				}
			}
		}
	})

	t.Run("Print and Println", func(t *testing.T) {
		testRoute(t, func(v any) string { return fmt.Sprint(v) + fmt.Sprintln("x", v, &v) })
	})

	t.Run("package log", func(t *testing.T) {
		testRoute(t, func(v any) string {
			var b bytes.Buffer
			l := log.New(&b, "", log.LstdFlags|log.Lshortfile)
			l.Print(v)
			l.Printf("%v %+v", v, v)
			return b.String()
		})
	})

	t.Run("log/slog", func(t *testing.T) {
		opts := &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, opts) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, opts) },
		} {
			t.Run(name, func(t *testing.T) {
				testRoute(t, func(v any) string {
					var b bytes.Buffer
					l := slog.New(handler(&b))
					l.Debug("m", "attr", v)
					l.Info("m", slog.Group("g", slog.Any("attr", v)))
					l.With("bound", v).WithGroup("g").Warn("m", "list", []any{v})
					l.Error("m", v, v)
					return b.String()
				})
			})
		}
	})

	t.Run("encoders", func(t *testing.T) {
		for name, encode := range map[string]func(v any) string{
			"json": func(v any) string { return withError(json.Marshal(v)) },
			"json, indented": func(v any) string {
				return withError(json.MarshalIndent(map[string]any{"v": v}, "", "  "))
			},
			"xml":  func(v any) string { return withError(xml.Marshal(v)) },
			"yaml": func(v any) string { return withError(yaml.Marshal(v)) },
			"gob": func(v any) string {
				var b bytes.Buffer
				err := gob.NewEncoder(&b).Encode(v)
				return withError(b.Bytes(), err)
			},
		} {
			t.Run(name, func(t *testing.T) { testRoute(t, encode) })
		}
	})

	t.Run("encoders write the marker", func(t *testing.T) {
		out, err := json.Marshal(secret("TOKEN", canary))
		require.NoError(t, err)
		require.Contains(t, string(out), `"Value":"[REDACTED]"`, "JSON shows the marker")
		out, err = xml.Marshal(secret("TOKEN", canary))
		require.NoError(t, err)
		require.Contains(t, string(out), `<Value>[REDACTED]</Value>`)
		out, err = yaml.Marshal(secret("TOKEN", canary))
		require.NoError(t, err)
		require.Contains(t, string(out), `[REDACTED]`)
	})

	t.Run("templates", func(t *testing.T) {
		const page = `{{.}} {{printf "%v %+v %#v %s" . . . .}} {{print .}} {{html .}} {{js .}} {{urlquery .}}`
		text := texttemplate.Must(texttemplate.New("").Parse(page))
		web := htmltemplate.Must(htmltemplate.New("").Parse(`{{.}} <a href="?q={{.}}" title="{{.}}">{{printf "%v" .}}</a><script>var x = {{.}}</script>`))
		t.Run("text", func(t *testing.T) {
			testRoute(t, func(v any) string {
				var b bytes.Buffer
				err := text.Execute(&b, v)
				return withError(b.Bytes(), err)
			})
		})
		t.Run("html", func(t *testing.T) {
			testRoute(t, func(v any) string {
				var b bytes.Buffer
				err := web.Execute(&b, v)
				return withError(b.Bytes(), err)
			})
		})
	})

	t.Run("failed assertions", func(t *testing.T) {
		testRoute(t, func(v any) string {
			var m messages
			assert.Equal(&m, v, "something else")
			assert.Equal(&m, exported{}, v)
			assert.Equal(&m, unexported{}, v)
			assert.Exactly(&m, v, 1)
			assert.Nil(&m, v)
			assert.Empty(&m, v)
			assert.Zero(&m, v)
			assert.Contains(&m, []any{v}, 1)
			assert.ElementsMatch(&m, []any{v, 1}, []any{2})
			assert.IsType(&m, 1, v)
			if err, ok := v.(error); ok {
				assert.NoError(&m, err)
				assert.ErrorIs(&m, err, os.ErrNotExist)
			}
			return m.String()
		})
	})

	t.Run("panics", func(t *testing.T) {
		panics := func(name string) string {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), panicWith+"="+name, "GOTRACEBACK=all")
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the child must panic")
			require.Contains(t, string(out), "panic: ", "the child must panic")
			return string(out)
		}
		require.NotEmpty(t, leak(panics("plain")), "a panic prints unprotected values")
		for _, name := range []string{
			"Value", "*Value", "Secret", "*Secret", "*Bundle", "Bundle", "exported fields", "unexported fields", "*unexported fields",
			"embedded", "[]any", "map to any", "FetchError", "*FetchError", "wrapped error", "error with fields",
		} {
			t.Run(name, func(t *testing.T) {
				out := panics(name)
				require.NotContains(t, out, "nil argument", "the child must find the holding")
				require.Empty(t, leak(out), "a panic must not show a value:\n%s", out)
			})
		}
	})
}

func TestValue_Marker(t *testing.T) {
	t.Run("a value alone always prints the marker", func(t *testing.T) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%20s", "%U"} {
			require.Equal(t, "[REDACTED]", fmt.Sprintf(format, bundle.NewValue(canary)), "%s prints the marker", format)
		}
		require.Equal(t, "[REDACTED]", bundle.Value{}.String(), "an empty value does not reveal that it is empty")
		require.Equal(t, "[REDACTED]", bundle.NewValue(canary).GoString())
		require.Equal(t, "[REDACTED]", bundle.NewValue(canary).LogValue().String())
		text, err := bundle.NewValue(canary).MarshalText()
		require.NoError(t, err)
		require.Equal(t, "[REDACTED]", string(text))
		text, err = bundle.NewValue(canary).MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, `"[REDACTED]"`, string(text))
	})
}

// messages collects the failure messages of testify.
type messages struct{ strings.Builder }

func (m *messages) Errorf(format string, args ...any) { fmt.Fprintf(m, format, args...) }

// panicWith is the environment variable that makes this test binary panic with
// the holding of that name.
const panicWith = "BUNDLE_TEST_PANIC"

func TestMain(m *testing.M) {
	if name, ok := os.LookupEnv(panicWith); ok {
		if name == "plain" {
			panic(canary)
		}
		panic(holdings(&testing.B{})[name])
	}
	os.Exit(m.Run())
}
