package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Suffixes of the file names in a folder of jobs.
const (
	waiting  = ".json"
	taken    = ".running"
	finished = ".done"
	output   = ".out"
	results  = ".result"
)

// look is the interval between two searches for jobs.
const look = 250 * time.Millisecond

// folder is the source of the jobs in a folder. Several runners may share one.
type folder struct {
	root *os.Root
	// looking is held by the worker that searches.
	looking sync.Mutex
}

func openFolder(path string, p *program) (*folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("--jobs: %w; create the folder first", err)
	}
	f := &folder{root: root}
	left, err := f.names(taken)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	for _, name := range left {
		p.note("%s%s already exists: another runner is working on the job, or was killed; to run it again, rename the file to %s%s", name, taken, name, waiting)
	}
	return f, nil
}

// names returns the sorted names of the files with a suffix, without the suffix.
func (f *folder) names(end string) ([]string, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range all {
		if name, ok := strings.CutSuffix(file, end); ok && name != "" && name[0] != '.' {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// next implements source. It never returns io.EOF: more jobs may always come.
func (f *folder) next(ctx context.Context) (*assignment, error) {
	f.looking.Lock()
	defer f.looking.Unlock()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		a, err := f.take()
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// take takes the first job that is not taken yet, or returns nil if there is none.
func (f *folder) take() (*assignment, error) {
	names, err := f.names(waiting)
	if err != nil {
		return nil, fmt.Errorf("looking for jobs: %w", err)
	}
	for _, name := range names {
		if _, err := f.root.Lstat(name + taken); err == nil {
			continue // a job of the same name is running
		}
		err := f.root.Rename(name+waiting, name+taken)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another runner took it
		}
		if err != nil {
			return nil, fmt.Errorf("taking a job: %w", err)
		}
		return f.assign(name), nil
	}
	return nil, nil
}

// assign reads a taken job and opens its output.
func (f *folder) assign(name string) *assignment {
	a := &assignment{name: name}
	src, err := f.read(name + taken)
	if err == nil {
		a.task, err = parseTask(src)
	}
	out, openErr := f.root.OpenFile(name+output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if openErr == nil {
		a.out = out
	} else if err == nil {
		err = fmt.Errorf("opening the output of the job: %w", openErr)
	}
	a.err = err
	a.done = func(r result) error {
		var err error
		if a.out != nil {
			err = out.Close()
		}
		if err == nil {
			err = f.writeResult(name, r)
		}
		if err == nil {
			err = f.root.Rename(name+taken, name+finished)
		}
		if err != nil {
			return fmt.Errorf("storing the result of job %s: %w", name, err)
		}
		return nil
	}
	return a
}

func (f *folder) read(name string) ([]byte, error) {
	if info, err := f.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("the job is not a regular file")
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	src, err := io.ReadAll(io.LimitReader(file, maxTask+1))
	if err == nil && len(src) > maxTask {
		err = fmt.Errorf("the job is larger than %d bytes", maxTask)
	}
	return src, err
}

// writeResult writes the result under another name and renames it, so that readers see
// a complete file.
func (f *folder) writeResult(name string, r result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	temporary := "." + name + results
	if err := f.root.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	if err := f.root.Rename(temporary, name+results); err != nil {
		return errors.Join(err, f.root.Remove(temporary))
	}
	return nil
}

func (f *folder) close() { _ = f.root.Close() } // nothing is written through it
