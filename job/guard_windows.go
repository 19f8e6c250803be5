package job

import "log/slog"

// guard does nothing: there are neither process groups nor a shell on this system.
type guard struct{}

func startGuard(*slog.Logger) *guard { return nil }

func (*guard) directory(string) {}

func (*guard) process(*process) {}

func (*guard) end() {}
