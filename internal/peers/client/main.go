// Command client measures the cost of reading one secret that a client keeps in
// memory, compares it with libraries for settings and secrets, and prints the table
// of docs/refresh.md:
//
//	go run ./client
//
// Every figure is the median of many short rounds, in processor time. The contenders
// take turns in each round, so that other load on the machine affects all of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 41, "`number` of measurements of each contender")
	slice := flag.Duration("slice", 20*time.Millisecond, "approximate `duration` of each measurement")
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	err := run(ctx, os.Stdout, *rounds, *slice, []int{1, 50, 1000})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints the table, with a column for each number of secrets.
func run(ctx context.Context, w io.Writer, rounds int, slice time.Duration, counts []int) error {
	results := make([][]result, len(contenders)) // by contender and count
	for _, n := range counts {
		column, err := measure(ctx, n, rounds, slice)
		if err != nil {
			return err
		}
		for i := range contenders {
			results[i] = append(results[i], column[i])
		}
	}
	fmt.Fprintf(w, "%s, %s/%s, %s; medians of %d rounds\n\n| read |", runtime.Version(), runtime.GOOS, runtime.GOARCH, processor(), rounds)
	for _, n := range counts {
		fmt.Fprintf(w, " 1 of %d, ns/op |", n)
	}
	fmt.Fprintf(w, " allocs/op |\n|---|%s\n", strings.Repeat("---:|", len(counts)+1))
	for i, c := range contenders {
		fmt.Fprintf(w, "| %s |", c.name)
		for _, r := range results[i] {
			fmt.Fprintf(w, " %.1f |", r.nanoseconds)
		}
		fmt.Fprintf(w, " %.0f |\n", results[i][len(counts)-1].allocs)
	}
	return nil
}

// A result is the cost of one read.
type result struct{ nanoseconds, allocs float64 }

// measure lets each contender read one of n secrets.
func measure(ctx context.Context, n, rounds int, slice time.Duration) ([]result, error) {
	results := make([]result, len(contenders))
	reads := make([]read, len(contenders))
	times := make([]int, len(contenders)) // reads in a slice
	for i, c := range contenders {
		var err error
		if reads[i], err = c.open(ctx, values(n), name(n/2)); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		const reading = 1000
		results[i].allocs = testing.AllocsPerRun(10, func() { reads[i](reading) }) / reading
		for times[i] = 1; ; times[i] *= 2 {
			begin := time.Now()
			reads[i](times[i])
			if time.Since(begin) >= slice {
				break
			}
		}
	}
	took := make([][]float64, len(contenders))
	for range rounds {
		for i, read := range reads {
			begin := processorTime()
			read(times[i])
			took[i] = append(took[i], float64(processorTime()-begin)/float64(times[i]))
		}
	}
	for i := range results {
		slices.Sort(took[i])
		results[i].nanoseconds = took[i][rounds/2]
	}
	return results, nil
}

// processorTime returns the processor time that this process has used. Unlike wall
// time, it does not depend on other load on the machine.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processor returns the model of the processor, on Linux.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return fmt.Sprintf("%s, %d processors", strings.TrimSpace(model), runtime.NumCPU())
		}
	}
	return fmt.Sprint(runtime.NumCPU(), " processors")
}
