package audit

// BreakFile makes all later writes of s fail.
func BreakFile(s *FileSink) { _ = s.file.Close() }

// Pending returns the number of tenants for which l keeps entries to append or turns.
func Pending(l *Log) int {
	l.turns.mu.Lock()
	defer l.turns.mu.Unlock()
	return l.appends.Len() + len(l.turns.lines)
}
