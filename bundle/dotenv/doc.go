// Package dotenv reads and writes .env files: one NAME=value per line.
//
//	entries, err := dotenv.Parse(".env", src)
//	// err: .env:12: unclosed quote; add the closing quote
//
// The parser is strict: it rejects a file that breaks the rules below, with the
// line and the fix in the error. It is not a shell and executes or expands
// nothing: $ is an ordinary character, as is a backtick, and an unquoted value extends
// to the end of the line. Errors never contain a part of a value.
//
//	# A comment has its own line, or follows whitespace.
//	export TOKEN=abc            # export is allowed and ignored
//	EMPTY=                      # an empty value; NAME alone is an error
//	TITLE=two words, $5 \n a#1  # to the end of the line, taken literally
//	LITERAL='$5 \n "x"'         # no escapes; may span lines
//	ESCAPED="a\tb \"x\" $5"     # \n \r \t \" \\ \$ \` and no others; may span lines
//
// These are errors: whitespace around the =, a quote inside an unquoted value,
// anything but a comment after a closing quote, and a name that occurs twice.
// Names follow [bundle.CheckName], values [bundle.CheckValue]. Lines end in LF or
// CRLF. Inside quotes, CRLF counts as LF if the line of the closing quote also
// ends in CRLF; otherwise the CR belongs to the value. A byte order mark at the
// start is skipped.
//
// [Set] and [Cut] change one entry of a file and keep all other bytes. [Append]
// and Set write lines that [Parse] and a POSIX shell read the same way:
//
//	set -a; . ./.env
//
// Names that a shell reserves, such as OPTIND, PPID and UID, are the exception:
// the shell rejects them or sets its own values.
package dotenv
