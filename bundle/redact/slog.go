package redact

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
)

// Handler returns a handler that masks records before it passes them to h: the
// message, and the keys and values of attributes and groups, including those of
// [slog.Logger.With]. Secrets that r learns later are masked in those too.
//
// Values are resolved first. Strings and byte slices are masked; a number is
// replaced by a string if its digits match; booleans, times and durations are
// passed on. Any other value is passed on unchanged if none of its renderings
// (JSON, text, %v and %+v of package fmt) has a match. Otherwise h gets the masked
// JSON, or the masked %+v if the JSON has no match, or an error with masked text.
// A value that contains itself, or is nested more than 1000 levels deep, cannot be
// examined and becomes "[REDACTED]".
//
// Arguments of With are formatted for each record rather than immediately, so do
// not change them afterwards.
//
// A handler that prints values in other ways, for example as decimal bytes, may
// show unexamined text. To mask all its output, give it a [Writer].
func Handler(h slog.Handler, r *Redactor) slog.Handler {
	return &handler{base: h, r: r, ready: &atomic.Pointer[derived]{}}
}

type handler struct {
	base slog.Handler
	r    *Redactor
	// with returns the groups and attributes so far. They are applied to base for
	// each record, because they must be masked again after r changes. It is a
	// closure because attributes may hold secrets.
	with  func() []step
	ready *atomic.Pointer[derived]
}

// A step is a WithGroup or a WithAttrs.
type step struct {
	group string
	attrs []slog.Attr
}

// derived is base with everything applied, masked by m.
type derived struct {
	m *matcher
	h slog.Handler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.derive(h.r.core().matcher()).Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	m := h.r.core().matcher()
	masked := slog.NewRecord(record.Time, record.Level, m.mask(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		masked.AddAttrs(m.maskAttr(a))
		return true
	})
	return h.derive(m).Handle(ctx, masked)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.and(step{attrs: slices.Clone(attrs)})
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.and(step{group: name})
}

func (h *handler) and(s step) slog.Handler {
	var steps []step
	if h.with != nil {
		steps = h.with()
	}
	steps = append(slices.Clip(steps), s)
	return &handler{base: h.base, r: h.r, with: func() []step { return steps }, ready: &atomic.Pointer[derived]{}}
}

// derive returns base with everything applied.
func (h *handler) derive(m *matcher) slog.Handler {
	if h.with == nil {
		return h.base
	}
	if d := h.ready.Load(); d != nil && d.m == m {
		return d.h
	}
	to := h.base
	for _, s := range h.with() {
		if s.group != "" {
			to = to.WithGroup(m.mask(s.group))
			continue
		}
		attrs := slices.Clone(s.attrs)
		for i, a := range attrs {
			attrs[i] = m.maskAttr(a)
		}
		to = to.WithAttrs(attrs)
	}
	h.ready.Store(&derived{m, to})
	return to
}

func (m *matcher) maskAttr(a slog.Attr) slog.Attr {
	return slog.Attr{Key: m.mask(a.Key), Value: m.maskValue(a.Value)}
}

func (m *matcher) maskValue(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(m.mask(v.String()))
	case slog.KindGroup:
		attrs := slices.Clone(v.Group())
		for i, a := range attrs {
			attrs[i] = m.maskAttr(a)
		}
		return slog.GroupValue(attrs...)
	case slog.KindAny:
		return m.maskAny(v)
	case slog.KindInt64, slog.KindUint64:
		return m.maskNumber(v, v.String())
	case slog.KindFloat64:
		return m.maskNumber(v, strconv.FormatFloat(v.Float64(), 'f', -1, 64))
	}
	return v
}

// maskNumber returns v, or a string if its digits are a match.
func (m *matcher) maskNumber(v slog.Value, digits string) slog.Value {
	if masked := m.mask(digits); masked != digits {
		return slog.StringValue(masked)
	}
	return v
}

func (m *matcher) maskAny(v slog.Value) slog.Value {
	switch x := v.Any().(type) {
	case nil:
		return v
	case []byte:
		if text := string(x); m.matches(text) {
			return slog.AnyValue([]byte(m.mask(text)))
		}
		return v
	case error:
		return slog.AnyValue(m.maskError(x))
	default:
		if endless(reflect.Indirect(reflect.ValueOf(x)), maxNesting) {
			return slog.StringValue("[REDACTED]")
		}
		texts := renderings(x)
		if !slices.ContainsFunc(texts, m.matches) {
			return v
		}
		asJSON := texts[0]
		if masked := m.mask(asJSON); masked != asJSON && json.Valid([]byte(masked)) {
			return slog.AnyValue(json.RawMessage(masked))
		}
		return slog.StringValue(m.mask(texts[len(texts)-1]))
	}
}

// maxNesting is the maximum nesting depth of a value that is printed.
const maxNesting = 1000

// endless reports whether v is nested deeper than left levels, as a value that
// contains itself is. For such a value, fmt overflows the stack, which ends the
// process. Like fmt, endless does not follow inner pointers.
func endless(v reflect.Value, left int) bool {
	if left == 0 {
		return true
	}
	switch v.Kind() {
	case reflect.Interface:
		return endless(v.Elem(), left-1)
	case reflect.Struct:
		for i := range v.NumField() {
			if endless(v.Field(i), left-1) {
				return true
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if endless(entries.Value(), left-1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		switch v.Type().Elem().Kind() {
		case reflect.Interface, reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
		default:
			return false // most are long and flat
		}
		for i := range v.Len() {
			if endless(v.Index(i), left-1) {
				return true
			}
		}
	}
	return false
}
