package redact

import "unicode"

// printers tell which non-ASCII characters a shell prints: all of them, none as in the
// C locale, or those that a UTF-8 locale can print. Systems differ in the version of
// Unicode, and so in the characters that are assigned.
var printers = []func(r rune) bool{
	func(rune) bool { return true },
	func(rune) bool { return false },
	printable,
	func(r rune) bool { return printable(r) && !unicode.Is(unicode.Cn, r) },
	func(r rune) bool { return printable(r) && !unicode.In(r, unicode.Cn, since15) },
}

func printable(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

// since15 are the characters that Unicode 15 added, which glibc prints from 2.38 on.
var since15 = &unicode.RangeTable{
	R16: []unicode.Range16{{0xcf3, 0xcf3, 1}, {0xece, 0xece, 1}},
	R32: []unicode.Range32{
		{0x10efd, 0x10eff, 1}, {0x1123f, 0x11241, 1}, {0x11b00, 0x11b09, 1}, {0x11f00, 0x11f59, 1}, {0x1342f, 0x1342f, 1},
		{0x13439, 0x13455, 1}, {0x1b132, 0x1b132, 1}, {0x1b155, 0x1b155, 1}, {0x1d2c0, 0x1d2d3, 1}, {0x1df25, 0x1df2a, 1},
		{0x1e030, 0x1e08f, 1}, {0x1e4d0, 0x1e4f9, 1}, {0x1f6dc, 0x1f6dc, 1}, {0x1f774, 0x1f77f, 1}, {0x1f7d9, 0x1f7d9, 1},
		{0x1fa75, 0x1fa77, 1}, {0x1fa87, 0x1fa88, 1}, {0x1faad, 0x1faaf, 1}, {0x1fabb, 0x1fabf, 1}, {0x1face, 0x1facf, 1},
		{0x1fada, 0x1fadb, 1}, {0x1fae8, 0x1fae8, 1}, {0x1faf7, 0x1faf8, 1}, {0x2b739, 0x2b739, 1}, {0x31350, 0x323af, 1},
	},
}
