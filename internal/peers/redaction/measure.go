package main

import (
	"io"
	"runtime"
	"syscall"
	"time"
)

// writeSize is how much a pipe hands on at a time.
const writeSize = 4096

// A result is what one contender did.
type result struct {
	megabytes float64 // a second of processor time
	allocs    float64 // for each write
	memory    float64 // bytes that it keeps
}

// sink copies what it gets, as a pipe or a file would.
type sink struct{ buf [64 << 10]byte }

func (s *sink) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		rest = rest[copy(s.buf[:], rest):]
	}
	return len(p), nil
}

// measure lets w have input in writes of writeSize, for about the time given,
// and takes the best of several rounds.
func measure(w io.Writer, input []byte, about time.Duration) (r result) {
	round := func() {
		for at := 0; at < len(input); at += writeSize {
			_, _ = w.Write(input[at:min(at+writeSize, len(input))])
		}
	}
	round() // buffers grow, and what is lazy is built
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
		if i == 0 || allocs < r.allocs { // the runtime has some of its own
			r.allocs = allocs
		}
	}
	return r
}

// processorTime is what this process has used, its collector included. It does
// not depend on what else the machine does, as the time on the wall would.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held returns how many bytes of memory what f makes keeps.
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
