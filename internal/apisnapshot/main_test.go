package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestModuleAPI(t *testing.T) {
	want, err := os.ReadFile(root + "/" + snapshot)
	require.NoError(t, err)
	got, err := moduleAPI(root)
	require.NoError(t, err)
	t.Run("equals api.txt", func(t *testing.T) {
		if difference := compare(string(want), string(got)); difference != "" {
			t.Fatalf("The exported API differs from %s:\n%sIf the change is intended, run %s from the root of the module and commit the file.", snapshot, difference, command)
		}
	})
	t.Run("includes only importable packages", func(t *testing.T) {
		var packages []string
		for line := range strings.Lines(string(got)) {
			if rest, ok := strings.CutPrefix(line, "pkg "); ok {
				name, _, _ := strings.Cut(rest, ",")
				packages = append(packages, name)
			}
		}
		packages = slices.Compact(packages)
		require.Subset(t, packages, []string{"satchel", "bundle", "keyring/local"})
		for _, name := range packages {
			require.True(t, importable(name), name)
		}
	})
}

func TestImportable(t *testing.T) {
	for path, want := range map[string]bool{
		module:                               true,
		module + "/vault/sqlstore":           true,
		module + "/internal/wire":            false,
		module + "/providers/internal/local": false,
		module + "/examples/quickstart":      false,
		module + "/cmd/satchel":              false,
		module + "/vault/internals":          true,
		module + "/vault/internal":           false,
		module + "/keyring/keyringtest":      true,
	} {
		require.Equal(t, want, importable(path), path)
	}
}

func TestCompare(t *testing.T) {
	require.Empty(t, compare("a\nb\n", "b\na\n"), "the order does not matter")
	require.Equal(t, "- b\n+ bb\n+ d\n", compare("a\nb\nc\n", "a\nbb\nc\nd\n"))
	require.Equal(t, "- b\n", compare("b\nb\n", "b\n"), "duplicate lines are counted")
}

// TestLines tests that the lines include all exported names with their types, from the
// files for linux/amd64 without cgo, but no unexported names, no names promoted from
// embedded fields and no names from tests. An alias of a type that cannot be imported
// has the lines of that type.
func TestLines(t *testing.T) {
	packages, err := load(".", "./testdata/shapes")
	require.NoError(t, err)
	require.Len(t, packages, 1)
	require.Equal(t, strings.TrimSpace(`
const High Level = 2
const Limit = 65536
const Low Level = 0
const Name = "shapes"
const Ratio = 0.5
const Timeout time.Duration = 3000000000
var Default *Base
var ErrGone error
func OnAMD64()
func OnLinux()
func Open(context.Context, string, string, ...func(string) error) (io.ReadCloser, error)
func Sum[N Number, S ~[]N](S) N
type Base struct
type Base struct, Query url.Values
type Base struct, Size int
type Base struct, Weight int
type Clock = time.Time
type Fault = deep.Fault
type Fault struct, Code int
type Handler func(*url.URL, url.Values) error
type Level int
type List[T any] = []Pair[string, T]
type Lock interface
type Lock interface, Try() bool
type Lock interface, embedded Mutex
type Mutex interface
type Mutex interface, Lock()
type Names []string
type Number interface
type Number interface, embedded ~int | ~float64
type Outer struct
type Outer struct, Extra struct{A string; B string}
type Outer struct, OnDone func(time.Duration, error)
type Outer struct, embedded *Base
type Outer struct, embedded io.Reader
type Pair[K comparable, V any] struct
type Pair[K comparable, V any] struct, Key K
type Pair[K comparable, V any] struct, Value V
type Store interface
type Store interface, Get(context.Context, string) ([]byte, bool)
type Store interface, embedded interface{Inline()}
type Store interface, embedded io.Closer
type Store interface, unexported methods
method (*Base) Close() error
method (*Fault) Error() string
method (*Level) Set(string) error
method (*Pair[K, V]) All() iter.Seq2[K, V]
method (Level) String() string
`), strings.Join(lines(packages[0]), "\n"))
}

func TestLoad(t *testing.T) {
	t.Run("does not depend on the platform of the caller", func(t *testing.T) {
		want, err := load(".", "./testdata/shapes")
		require.NoError(t, err)
		t.Setenv("GOOS", "windows")
		t.Setenv("GOARCH", "arm64")
		t.Setenv("CGO_ENABLED", "1")
		got, err := load(".", "./testdata/shapes")
		require.NoError(t, err)
		require.Equal(t, lines(want[0]), lines(got[0]))
	})
	t.Run("names a missing package", func(t *testing.T) {
		_, err := load(".", "./testdata/absent")
		require.ErrorContains(t, err, "testdata/absent")
	})
}
