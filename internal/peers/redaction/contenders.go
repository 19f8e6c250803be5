package main

import (
	"io"
	"strings"

	"github.com/buildkite/agent/v3/redaction"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// A contender makes a writer that masks secrets on their way to w.
type contender struct {
	name string
	// about states its features and limits.
	about string
	make  func(w io.Writer, secrets []bundle.Secret) io.Writer
}

var contenders = []contender{
	{"copy", "passes the bytes on, as an upper limit", func(w io.Writer, _ []bundle.Secret) io.Writer { return w }},
	{"satchel", "bundle/redact with all forms of every value", func(w io.Writer, secrets []bundle.Secret) io.Writer {
		return redact.New(secrets...).Writer(w)
	}},
	{"strings.Replacer", "verbatim values only; misses values that are split over writes", func(w io.Writer, secrets []bundle.Secret) io.Writer {
		var pairs []string
		for _, s := range secrets {
			pairs = append(pairs, s.Value.Reveal(), "["+s.Name+"]")
		}
		return &replacer{strings.NewReplacer(pairs...), w}
	}},
	{"buildkite", "agent v3.45.0, package redaction: verbatim values only", func(w io.Writer, secrets []bundle.Secret) io.Writer {
		return redaction.NewRedactor(w, "[REDACTED]", plain(secrets))
	}},
}

type replacer struct {
	r *strings.Replacer
	w io.Writer
}

func (r *replacer) Write(p []byte) (int, error) {
	if _, err := r.r.WriteString(r.w, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func plain(secrets []bundle.Secret) []string {
	var values []string
	for _, s := range secrets {
		values = append(values, s.Value.Reveal())
	}
	return values
}
