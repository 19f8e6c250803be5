// Package dotenv reads and writes .env files: one NAME=value a line.
//
//	entries, err := dotenv.Parse(".env", src)
//	// err: .env:12: the quote that opens here is never closed; …
//
// The reader is strict: it refuses a file that breaks the rules below, says on
// which line, and says what to write instead. It executes and expands nothing,
// so it is no shell: to it $ is a character, and an unquoted value goes to the end
// of the line. Its errors never hold a part of a value.
//
//	# A comment has its own line, or follows a blank.
//	export TOKEN=abc            # export is allowed and means nothing
//	EMPTY=                      # an empty value; a NAME alone is refused
//	TITLE=two words, $5 \n a#1  # to the end of the line, taken literally
//	LITERAL='$5 \n "x"'         # no escapes; may span lines
//	ESCAPED="a\tb \"x\" $5"     # \n \r \t \" \\ \$ \` and no others; may span lines
//
// Blanks around the = are refused, and so are a quote inside an unquoted
// value, anything but a comment after a closing quote, and a name that occurs
// twice. Names follow [bundle.CheckName], values [bundle.CheckValue]. Lines
// end in LF or CRLF. Between quotes CRLF counts as LF if the line of the
// closing quote ends in CRLF too, and otherwise the CR belongs to the value. A
// byte order mark at the start is skipped.
//
// [Set] and [Cut] change one entry of a file and keep all other bytes. [Append] and
// Set write lines that [Parse] and a POSIX shell read alike:
//
//	set -a; . ./.env
//
// But for names that a shell keeps to itself, such as OPTIND, PPID and UID: it
// refuses them, or has values of its own.
package dotenv
