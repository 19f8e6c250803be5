package sqlstore

import (
	"iter"
	"strings"
)

// statement translates a statement to the dialect of the database. In this package,
// statements have a question mark for each parameter and the names of tables in
// brackets. They have neither elsewhere.
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

// batches splits rows into batches of 256, 16 and 1. Batches save round trips, and
// with three sizes the store and the driver cache few different statements.
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

// values returns a VALUES clause that repeats row n times.
func values(n int, row string) string {
	return "VALUES " + row + strings.Repeat(", "+row, n-1)
}
