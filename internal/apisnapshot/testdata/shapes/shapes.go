// Package shapes has one of each kind of declaration.
package shapes

import (
	"context"
	"io"
	"iter"
	"net/url"
	"time"

	"github.com/satchelhq/satchel/internal/apisnapshot/testdata/shapes/internal/deep"
)

type Level int

const (
	Low Level = iota
	_
	High
	hidden
)

const (
	Limit   = 64 << 10
	Name    = "shapes"
	Ratio   = 0.5
	Timeout = 3 * time.Second
)

var (
	ErrGone = io.ErrUnexpectedEOF
	Default = &Base{Size: 1}
	private = 1
)

func (l *Level) Set(text string) error { return nil }

func (l Level) String() string { return "" }

func Open(ctx context.Context, path, mode string, more ...func(name string) error) (r io.ReadCloser, err error) {
	return nil, nil
}

func open() {}

type Base struct {
	Size, Weight int
	Query        url.Values `json:"query"`
	secret       string
}

func (b *Base) Close() error { return nil }

func (b *Base) close() {}

type inner struct{ Depth int }

func (inner) Dive() {}

type Outer struct {
	*Base
	io.Reader
	inner
	Extra  struct{ A, B string }
	OnDone func(took time.Duration, err error)
}

type Store interface {
	io.Closer
	interface{ Inline() }
	Get(ctx context.Context, key string) (value []byte, ok bool)
	reset()
}

type Number interface{ ~int | ~float64 }

type Pair[K comparable, V any] struct {
	Key   K
	Value V
}

func (p *Pair[K, V]) All() iter.Seq2[K, V] { return nil }

func Sum[N Number, S ~[]N](list S) (total N) { return total }

type (
	Names       []string
	Handler     func(to *url.URL, values url.Values) error
	Clock       = time.Time
	Fault       = deep.Fault
	List[T any] = []Pair[string, T]
)

type Lock interface {
	Mutex
	Try() bool
}

type Mutex interface{ Lock() }
