// Command redaction measures how fast Satchel and other libraries mask secrets, and
// prints the tables of docs/redaction.md:
//
//	go run ./redaction
//
// Satchel masks every form of every value; the others mask only the plain values.
// Speeds are based on the processor time of the process, so that other load on the
// machine matters little.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

func main() {
	logs := flag.String("logs", "../../bundle/redact/testdata/logs", "`directory` of the ordinary log")
	about := flag.Duration("time", 2*time.Second, "approximate `duration` of each measurement")
	flag.Parse()
	if err := run(os.Stdout, *logs, *about, []int{1, 10, 50, 200, 1000, 5000}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out io.Writer, logs string, about time.Duration, counts []int) error {
	log, err := ordinary(logs)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %s/%s, %s. Megabytes per second of processor time, best of 5 rounds;\nallocations and memory are those of satchel.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, processor())

	for _, c := range contenders {
		fmt.Fprintf(out, "- %s: %s\n", c.name, c.about)
	}
	fmt.Fprintln(out, "\nAn ordinary log in writes of 4 KiB, secrets of 40 letters and digits:")
	byCount(out, log, about, counts, contenders, tokens)
	fmt.Fprintln(out, "\nThe same with secrets of mixed lengths from 8 characters:")
	byCount(out, log, about, counts, contenders[:2], mixed)

	n := counts[min(4, len(counts)-1)]
	list := secrets(n, tokens)
	fmt.Fprintf(out, "\nOther input, %d secrets of 40 letters and digits:\n\n", n)
	w := contenders[1].make(&sink{}, list)
	fmt.Fprintf(out, "| input | %s | allocations per write |\n|---|---:|---:|\n", contenders[1].name)
	inputs := others(log, list)
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		r := measure(w, inputs[name], about)
		fmt.Fprintf(out, "| %s | %.0f | %.2f |\n", name, r.megabytes, r.allocs)
	}
	return nil
}

// byCount prints a row for each number of secrets.
func byCount(out io.Writer, log []byte, about time.Duration, counts []int, all []contender, value valueFunc) {
	fmt.Fprint(out, "\n| secrets |")
	for _, c := range all {
		fmt.Fprintf(out, " %s |", c.name)
	}
	fmt.Fprintf(out, " allocations per write | memory |\n|---:|%s---:|---:|\n", strings.Repeat("---:|", len(all)))
	for _, n := range counts {
		list := secrets(n, value)
		fmt.Fprintf(out, "| %d |", n)
		var ours result
		for _, c := range all {
			r := c.try(log, list, about)
			fmt.Fprintf(out, " %.0f |", r.megabytes)
			if c.name == contenders[1].name {
				ours = r
			}
		}
		fmt.Fprintf(out, " %.2f | %.2f MB |\n", ours.allocs, ours.memory/1e6)
	}
}

type valueFunc = func(rng *rand.Rand, i int) string

// try measures c with secrets.
func (c contender) try(log []byte, list []bundle.Secret, about time.Duration) (r result) {
	var w io.Writer
	below := &sink{}
	memory := held(func() any {
		w = c.make(below, list)
		_, _ = w.Write([]byte("x")) // builds the lazy parts
		return w
	})
	r = measure(w, log, about)
	r.memory = memory
	return r
}

// processor returns the model of the processor, on Linux.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return fmt.Sprintf("%s, %d processors", strings.TrimSpace(model), runtime.NumCPU())
		}
	}
	return fmt.Sprint(runtime.NumCPU(), " processors")
}
