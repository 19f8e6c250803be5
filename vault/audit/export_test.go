package audit

// BreakFile makes the writes of a sink fail.
func BreakFile(s *FileSink) { _ = s.file.Close() }

// Pending returns how many tenants take memory for entries to be appended.
func Pending(l *Log) int { return l.appends.Len() }
