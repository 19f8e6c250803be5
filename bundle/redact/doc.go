// Package redact masks secrets in the output of a program: job output, logs and
// errors.
//
//	r := redact.New(secrets...)
//	out := r.Writer(os.Stdout)
//	defer out.Close()
//	cmd.Stdout = out                  // "token is [DEPLOY_TOKEN]"
//
// Start with [New] and [Redactor.Writer]. A value is found in one piece or split
// over any number of writes, verbatim or encoded: in base64, also inside longer
// base64, in hex, and escaped for URLs, JSON, XML, Go and shells. The lines of
// multi-line values and the strings inside JSON values are found too, and so is the
// decoded text of a value that is stored encoded. Text with the form of a platform's
// token is masked even if the token is unknown. [Handler]
// does the same for log/slog, [Redactor.Reader] for readers, [Transport] for HTTP
// clients and [Redactor.String] for a single text. Rotated values stay masked for
// a while: see [Redactor.Update], which the client of package satchel calls if
// its options include a Redactor.
//
// One marker replaces all overlapping matches. It names the match that starts
// first, and the longest if several start there. Adjacent matches get separate
// markers. Values shorter than 6 bytes are not masked: see [Redactor.Unmaskable].
// The page docs/redaction.md lists the limits of masking.
package redact
