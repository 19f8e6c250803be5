// Package redact masks secrets in whatever a program writes: the output of
// jobs, logs, errors.
//
//	r := redact.New(secrets...)
//	out := r.Writer(os.Stdout)
//	defer out.Close()
//	cmd.Stdout = out                  // "token is [DEPLOY_TOKEN]"
//
// Start with [New] and [Redactor.Writer]. A value is found in one piece or cut
// into any number of writes, as it is and as encoders write it: base64, also
// inside longer base64, hex, escaped for URLs, JSON, Go and shells; the lines of
// values of several lines and the strings inside JSON values are found too.
// [Handler] does the same for log/slog, [Redactor.Reader] for readers,
// [Transport] for HTTP clients and [Redactor.String] for one text.
// What is rotated away stays masked for a while: see [Redactor.Update], which
// package satchel's client calls if it has a Redactor among its options.
//
// Where matches overlap, one marker replaces them all, named by the match that
// starts first; of several that start there it is the longest. Matches that
// touch stay two. Values shorter than 6 bytes are not masked: see
// [Redactor.Unmaskable]. The page docs/redaction.md has the list of what
// masking cannot do.
package redact
