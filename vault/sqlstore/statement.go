package sqlstore

import (
	"iter"
	"strings"
)

// statement returns a statement as the database takes it. In this package, a
// statement has a question mark for each parameter, and the names of tables are
// in brackets. It has neither for anything else.
func (s *Store) statement(text string) string {
	if known, ok := s.statements.Load(text); ok {
		return known.(string)
	}
	var b strings.Builder
	parameters := 0
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "?[")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		if rest[i] == '?' {
			parameters++
			b.WriteString(s.dialect.parameter(parameters))
			rest = rest[i+1:]
			continue
		}
		name, after, _ := strings.Cut(rest[i+1:], "]")
		b.WriteString(s.dialect.table(s.schema, name))
		rest = after
	}
	s.statements.Store(text, b.String())
	return b.String()
}

// batches splits rows into batches of 256, 16 and single ones: statements about
// several rows save round trips, and so few different ones are remembered by
// the store and the driver.
func batches[T any](rows []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(rows) > 0 {
			n := 1
			for n < 256 && n*16 <= len(rows) {
				n *= 16
			}
			if !yield(rows[:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

// values returns the rows of a VALUES clause: n times the same.
func values(n int, row string) string {
	return "VALUES " + row + strings.Repeat(", "+row, n-1)
}
