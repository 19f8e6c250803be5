//go:build !linux

package job

import (
	"math"
	"runtime"
)

// memoryPlaces returns nothing: these systems have no directory that is known to be
// in memory.
func memoryPlaces() []string { return nil }

func systemLimits() execLimits {
	if runtime.GOOS == "windows" {
		return execLimits{variable: 32767, total: math.MaxInt}
	}
	return execLimits{variable: maxVariable, total: 1 << 20, each: pointerSize} // ARG_MAX of macOS
}
