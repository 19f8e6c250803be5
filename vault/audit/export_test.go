package audit

// BreakFile makes the writes of a sink fail.
func BreakFile(s *FileSink) { _ = s.file.Close() }

// Pending returns how many tenants take memory for entries to be appended, and
// for turns.
func Pending(l *Log) int {
	l.turns.mu.Lock()
	defer l.turns.mu.Unlock()
	return l.appends.Len() + len(l.turns.lines)
}
