//go:build !linux

package job

import (
	"math"
	"runtime"
)

// memoryPlaces returns nothing: there is no place here that is in memory for
// certain.
func memoryPlaces() []string { return nil }

func systemLimits() execLimits {
	if runtime.GOOS == "windows" {
		return execLimits{variable: 32767, total: math.MaxInt}
	}
	return execLimits{variable: maxVariable, total: 1 << 20, each: pointerSize} // ARG_MAX of macOS
}
