package audit

// BreakFile makes the writes of a sink fail.
func BreakFile(s *FileSink) { _ = s.file.Close() }
