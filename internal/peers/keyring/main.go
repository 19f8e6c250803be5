// Command keyring compares package keyring with other envelope encryption
// libraries and with plain AES-256-GCM in one run, and prints a table in
// Markdown:
//
//	go run ./keyring
//
// Every figure is the median of many short rounds. The contenders take turns in
// each round, so that other load on the machine affects all of them; only the
// ratios within one run are meaningful.
//
// In the warm columns, Tink and go-kms-wrapping unwrap the key of each message with a key in
// memory, because neither has a cache; with a real key service they would make one
// call per message. Package localsecrets seals each message under the same key, without
// an envelope or associated data.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The workloads of the warm columns.
var workloads = []struct {
	title   string
	n, size int
}{
	{"64 B", 1, 64},
	{"64 KiB", 1, 64 << 10},
	{"50 × 256 B", 50, 256},
}

// The workload of the cold column.
const coldCount, coldSize = 50, 256

// effort is the extent of a measurement.
type effort struct {
	rounds int           // the number of measurements of each contender
	slice  time.Duration // the duration of each measurement
	delay  time.Duration // the duration of a call of the key service
}

func main() {
	var e effort
	flag.IntVar(&e.rounds, "rounds", 21, "`number` of measurements of each contender")
	flag.DurationVar(&e.slice, "slice", 20*time.Millisecond, "`duration` of each measurement")
	flag.DurationVar(&e.delay, "delay", 5*time.Millisecond, "`duration` of a call of the key service")
	flag.Parse()
	if err := run(os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run measures everything and prints the table.
func run(w io.Writer, e effort) error {
	var warm [][]result // by workload and contender
	for _, load := range workloads {
		results, err := measureWarm(plaintexts(load.n, load.size), e)
		if err != nil {
			return err
		}
		warm = append(warm, results)
	}
	fmt.Fprintf(w, "%s, %s/%s, %d CPUs; medians of %d rounds\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), e.rounds)
	fmt.Fprint(w, "| open |")
	for _, load := range workloads {
		fmt.Fprintf(w, " %s | × raw | allocs |", load.title)
	}
	fmt.Fprintf(w, " %d × %d B, cold, key service at %s |\n|---|", coldCount, coldSize, e.delay)
	for range workloads {
		fmt.Fprint(w, "---:|---:|---:|")
	}
	fmt.Fprint(w, "---:|\n")
	for i, c := range contenders {
		fmt.Fprintf(w, "| %s |", c.name)
		for _, results := range warm {
			r := results[i]
			fmt.Fprintf(w, " %s | %.2f | %.0f |", short(r.median), r.ratio, r.allocs)
		}
		cold, err := measureCold(c, e)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, " %s |\n", cold)
	}
	return nil
}

// A result is the time of one contender for one workload.
type result struct {
	median time.Duration
	ratio  float64 // median of the ratios to the first contender, round by round
	allocs float64
}

// measureWarm measures all contenders on one workload. Each reader has opened
// everything once before.
func measureWarm(plaintexts [][]byte, e effort) ([]result, error) {
	readers := make([]reader, len(contenders))
	results := make([]result, len(contenders))
	for i, c := range contenders {
		newReader, err := c.seal(plaintexts, &service{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		read, err := newReader()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		var failure error
		results[i].allocs = testing.AllocsPerRun(100, func() {
			if err := read(nil); err != nil {
				failure = err
			}
		})
		if failure != nil {
			return nil, fmt.Errorf("%s: %w", c.name, failure)
		}
		readers[i] = read
	}
	times, ratios := make([][]time.Duration, len(readers)), make([][]float64, len(readers))
	for range e.rounds {
		var limit time.Duration
		for i, read := range readers {
			took, err := timeOne(read, e.slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			if i == 0 {
				limit = took
			}
			times[i] = append(times[i], took)
			ratios[i] = append(ratios[i], float64(took)/float64(limit))
		}
	}
	for i := range results {
		results[i].median, results[i].ratio = median(times[i]), median(ratios[i])
	}
	return results, nil
}

// timeOne returns the time of one read, averaged over the runs that fit into slice.
func timeOne(read reader, slice time.Duration) (time.Duration, error) {
	const batch = 10 // runs between two readings of the clock
	begin := time.Now()
	for n := batch; ; n += batch {
		for range batch {
			if err := read(nil); err != nil {
				return 0, err
			}
		}
		if took := time.Since(begin); took >= slice {
			return took / time.Duration(n), nil
		}
	}
}

// measureCold returns the time of a reader without a cache, and its number of
// key-service calls.
func measureCold(c contender, e effort) (string, error) {
	if c.asks == nil {
		return "-", nil
	}
	s := &service{}
	newReader, err := c.seal(plaintexts(coldCount, coldSize), s)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.name, err)
	}
	s.delay = e.delay
	var times []time.Duration
	for range min(e.rounds, 5) {
		read, err := newReader()
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		s.calls.Store(0)
		begin := time.Now()
		if err := read(nil); err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		times = append(times, time.Since(begin))
	}
	return fmt.Sprintf("%s, calls: %d", short(median(times)), s.calls.Load()), nil
}

// short formats a duration with its significant digits.
func short(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func median[T time.Duration | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
