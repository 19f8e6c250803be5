package redact

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// yamlShort are the escapes of YAML for single characters.
var yamlShort = map[rune]string{
	0: `\0`, '\a': `\a`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\v': `\v`, '\f': `\f`, '\r': `\r`, 0x1b: `\e`, '"': `\"`, '\\': `\\`,
	0x85: `\N`, 0xa0: `\_`, 0x2028: `\L`, 0x2029: `\P`,
}

// yamlQuoted quotes s as in double quotes in YAML, without the quotes. ascii means that
// all other characters are escaped, and else those that YAML counts as unprintable and
// those of more than 16 bits.
func yamlQuoted(s string, ascii bool) string {
	var b strings.Builder
	for _, r := range s {
		short, ok := yamlShort[r]
		plain := r >= ' ' && r < 0x7f || !ascii && r >= 0xa0 && r <= 0xfffd && r != 0xfeff
		switch {
		case ok && (r != 0xa0 || ascii):
			b.WriteString(short)
		case plain || r == utf8.RuneError:
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02X`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String()
}
