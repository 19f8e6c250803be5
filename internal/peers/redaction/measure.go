package main

import (
	"io"
	"runtime"
	"syscall"
	"time"
)

// writeSize is the size of one write through a pipe, in bytes.
const writeSize = 4096

// A result is the measurement of one contender.
type result struct {
	megabytes float64 // per second of processor time
	allocs    float64 // per write
	memory    float64 // bytes kept
}

// sink copies its input, as a pipe or a file would.
type sink struct{ buf [64 << 10]byte }

func (s *sink) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		rest = rest[copy(s.buf[:], rest):]
	}
	return len(p), nil
}

// measure writes input to w in writes of writeSize for about the given time, and
// returns the best of several rounds.
func measure(w io.Writer, input []byte, about time.Duration) (r result) {
	round := func() {
		for at := 0; at < len(input); at += writeSize {
			_, _ = w.Write(input[at:min(at+writeSize, len(input))])
		}
	}
	round() // buffers grow, and lazy parts are built
	start := time.Now()
	round()
	times := max(1, int(about/5/max(1, time.Since(start))))
	var before, after runtime.MemStats
	for i := range 5 {
		runtime.ReadMemStats(&before)
		spent := processorTime()
		for range times {
			round()
		}
		spent = processorTime() - spent
		runtime.ReadMemStats(&after)
		r.megabytes = max(r.megabytes, float64(times*len(input))/1e6/spent.Seconds())
		allocs := float64(after.Mallocs-before.Mallocs) / float64(times*((len(input)+writeSize-1)/writeSize))
		if i == 0 || allocs < r.allocs { // the runtime allocates too
			r.allocs = allocs
		}
	}
	return r
}

// processorTime returns the processor time that this process has used, garbage
// collection included. Unlike wall time, it does not depend on other load.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held returns the number of bytes that the result of f keeps in memory.
func held(f func() any) float64 {
	live := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := live()
	kept := f()
	after := live()
	runtime.KeepAlive(kept)
	return after - before
}
