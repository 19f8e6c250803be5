package redact_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
)

const logged = "s3cr3t-value<&>"

type (
	plain    struct{ Token, Other string }
	hidden   struct{ token string }
	stringer struct{ token string }
	texter   struct{ token string }
	jsoner   struct{ token string }
	valuer   struct{ token string }
	failing  struct{ token string }
	raw      struct{ Bytes []byte }
	panicky  struct{ Token string }
	noValue  struct{ token string }
	noString struct{ token string }
	// fmt does not show the tokens of these.
	failsJSON  struct{ token *string }
	failsText  struct{ token *string }
	panicsJSON struct{ token *string }
	panicsText struct{ token *string }
)

func (s stringer) String() string             { return "stringer " + s.token }
func (x texter) MarshalText() ([]byte, error) { return []byte("texter " + x.token), nil }
func (j jsoner) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"jsoner": j.token})
}
func (v valuer) LogValue() slog.Value             { return slog.GroupValue(slog.String("token", v.token)) }
func (f *failing) Error() string                  { return "failing " + f.token }
func (p panicky) MarshalJSON() ([]byte, error)    { panic("no") }
func (n noValue) LogValue() slog.Value            { panic("no " + n.token) }
func (n noString) String() string                 { panic("no " + n.token) }
func (f failsJSON) MarshalJSON() ([]byte, error)  { return nil, errors.New("no " + *f.token) }
func (f failsText) MarshalText() ([]byte, error)  { return nil, errors.New("no " + *f.token) }
func (p panicsJSON) MarshalJSON() ([]byte, error) { panic("no " + *p.token) }
func (p panicsText) MarshalText() ([]byte, error) { panic(errors.New("no " + *p.token)) }

func TestHandler(t *testing.T) {
	t.Run("masks every kind of attribute", func(t *testing.T) {
		r := redact.New(secret("KEY", logged), secret("PIN", "8675309"))
		type list []any
		loop := list{logged}
		loop = append(loop, loop)
		loop[1] = loop
		// encoding/json fails at the function, before it enters the loop.
		loopWithFunction := map[string]any{"a": func() {}, "b": logged}
		loopWithFunction["c"] = loopWithFunction
		type inside struct{ unexported any }
		type ring struct{ Next any }
		circle := &ring{}
		circle.Next = &ring{circle}
		token := logged
		for about, args := range map[string][]any{
			"string":            {"k", logged},
			"key":               {logged, 1},
			"number":            {"k", 8675309},
			"number inside":     {"k", uint64(1867530999)},
			"fraction":          {"k", 8675309.5},
			"byte slice":        {"k", []byte(logged)},
			"raw JSON":          {"k", json.RawMessage(`{"a":"` + logged + `"}`)},
			"error":             {"k", errors.New("using " + logged)},
			"wrapped error":     {"k", fmt.Errorf("outer: %w", &failing{logged})},
			"error pointer":     {"k", &failing{logged}},
			"nil error pointer": {"k", (*failing)(nil), "l", logged},
			"struct":            {"k", plain{logged, "x"}},
			"struct pointer":    {"k", &plain{logged, "x"}},
			"unexported field":  {"k", hidden{logged}},
			"bytes in struct":   {"k", raw{[]byte(logged)}},
			"Stringer":          {"k", stringer{logged}},
			"TextMarshaler":     {"k", texter{logged}},
			"json.Marshaler":    {"k", jsoner{logged}},
			"LogValuer":         {"k", valuer{logged}},
			"panics":            {"k", panicky{logged}},
			"LogValuer panics":  {"k", noValue{logged}},
			"Stringer panics":   {"k", noString{logged}},
			"JSON fails":        {"k", failsJSON{&token}, "l", logged},
			"JSON fails inside": {"k", struct{ F any }{failsJSON{&token}}, "l", logged},
			"text fails":        {"k", failsText{&token}, "l", logged},
			"JSON panics":       {"k", panicsJSON{&token}, "l", logged},
			"text panics":       {"k", panicsText{&token}, "l", logged},
			"refers to itself":  {"k", loop},
			"itself, function":  {"k", loopWithFunction},
			"itself, hidden":    {"k", inside{loopWithFunction}},
			"itself, pointer":   {"k", &inside{loopWithFunction}},
			"ring of pointers":  {"k", circle, "l", logged},
			"map":               {"k", map[string]any{"a": []string{logged}}},
			"map key":           {"k", map[string]int{logged: 1}},
			"slice":             {"k", []string{"a", logged}},
			"group":             {slog.Group("g", slog.Group("h", "k", logged))},
			"group key":         {slog.Group(logged, "k", 1)},
			"any":               {slog.Any("k", any(logged))},
		} {
			for name, h := range map[string]func(*bytes.Buffer) slog.Handler{
				"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
				"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			} {
				t.Run(about+"/"+name, func(t *testing.T) {
					var out bytes.Buffer
					logger := slog.New(redact.Handler(h(&out), r))
					logger.Info("message", args...)
					logger.With(args...).Info("message")
					logger.WithGroup("outer").With(args...).WithGroup(logged).Info("message", args...)
					require.Equal(t, 3, strings.Count(out.String(), "\n"))
					for _, form := range []string{"s3cr3t", "8675309", "czNjcjN0"} {
						require.NotContains(t, out.String(), form)
					}
					require.Contains(t, out.String(), "[")
					if name == "JSON" {
						for line := range strings.Lines(out.String()) {
							require.True(t, json.Valid([]byte(line)), "the line must be valid JSON: %s", line)
						}
					}
				})
			}
		}
	})

	t.Run("keeps the shape of masked values", func(t *testing.T) {
		r := redact.New(secret("KEY", logged))
		var out bytes.Buffer
		logger := slog.New(redact.Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime}), r))
		logger.Info("using "+logged, "k", plain{logged, "kept"}, "n", 5, "d", time.Second, "ip", netip.MustParseAddr("10.0.0.1"))
		require.Equal(t, `{"level":"INFO","msg":"using [KEY]","k":{"Token":"[KEY]","Other":"kept"},"n":5,"d":1000000000,"ip":"10.0.0.1"}`+"\n", out.String())
	})

	t.Run("masks attributes added before their secret is known", func(t *testing.T) {
		var out bytes.Buffer
		r := redact.New()
		logger := slog.New(redact.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime}), r)).With("k", logged).WithGroup("g").With("l", logged)
		r.Add(secret("KEY", logged))
		logger.Info("m")
		logger.Info("m")
		require.Equal(t, strings.Repeat("level=INFO msg=m k=[KEY] g.l=[KEY]\n", 2), out.String())
	})

	t.Run("has the level of the next handler", func(t *testing.T) {
		h := redact.Handler(slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelWarn}), redact.New())
		require.False(t, h.Enabled(t.Context(), slog.LevelInfo))
		require.True(t, h.WithGroup("g").Enabled(t.Context(), slog.LevelWarn))
	})

	t.Run("passes slogtest", func(t *testing.T) {
		var out bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			out.Reset()
			return redact.Handler(slog.NewJSONHandler(&out, nil), redact.New(secret("KEY", logged)))
		}, func(t *testing.T) map[string]any {
			var m map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &m))
			return m
		})
	})
}
