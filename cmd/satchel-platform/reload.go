package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is the shortest interval between two checks of files that are reloaded.
const lookEvery = time.Second

// reloaded is a value that comes from files, and is loaded again when they change. While
// they are invalid, as in the middle of a change, the previous value is used.
type reloaded[T any] struct {
	setting string   // the flags that name the files
	files   []string // a pipe counts as unchanged, because it can be read only once
	load    func() (T, error)
	about   func(T) []any // attributes for the log, or nil
	log     *slog.Logger
	current atomic.Pointer[loaded[T]]
	looking atomic.Bool
}

// loaded is the content of the files at one time.
type loaded[T any] struct {
	value   T
	files   string    // their stamp when the value was loaded
	refused string    // their stamp when they were last invalid
	looked  time.Time // the time of the last check
}

// start loads the first value. The error names the setting, as that of load does.
func (r *reloaded[T]) start() error {
	files, err := r.stamp()
	if err != nil {
		return fmt.Errorf("%s: %w", r.setting, err)
	}
	value, err := r.load()
	if err != nil {
		return err
	}
	r.current.Store(&loaded[T]{value: value, files: files, looked: time.Now()})
	return nil
}

// get returns the current value. It checks the files at most once a second.
func (r *reloaded[T]) get() T {
	now := r.current.Load()
	if time.Since(now.looked) >= lookEvery && r.looking.CompareAndSwap(false, true) {
		defer r.looking.Store(false)
		now = r.look(*now)
		r.current.Store(now)
	}
	return now.value
}

// look checks the files and returns their current content, or now if they are
// unchanged or invalid.
func (r *reloaded[T]) look(now loaded[T]) *loaded[T] {
	now.looked = time.Now()
	files, err := r.stamp()
	if err == nil && files == now.files {
		return &now
	}
	var value T
	if err == nil {
		value, err = r.load()
	}
	if err != nil {
		if files != now.refused {
			r.log.Error("invalid file after a change; still using its previous content", "error", err)
		}
		now.refused = files
		return &now
	}
	attributes := []any{"setting", r.setting, "file", r.files[0]}
	if r.about != nil {
		attributes = append(attributes, r.about(value)...)
	}
	r.log.Info("file reloaded", attributes...)
	return &loaded[T]{value: value, files: files, looked: now.looked}
}

// stamp returns the sizes and modification times of the files.
func (r *reloaded[T]) stamp() (string, error) {
	var stamp string
	for _, path := range r.files {
		info, err := os.Stat(path)
		if err != nil {
			return "", err // names the file
		}
		if info.Mode().IsRegular() {
			stamp += fmt.Sprintf("%d %s\n", info.Size(), info.ModTime())
		}
	}
	return stamp, nil
}
