package sqlstore

import (
	"fmt"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// Columns are scanned into the types below, because errors of database/sql quote
// the content of a column. errColumn is one of the row and not of the database, so that
// one damaged row does not look like an outage.
var errColumn = fmt.Errorf("%w: the column has an unexpected type or length", keyring.ErrMalformed)

// integer is an int64 column.
type integer int64

func (i *integer) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return errColumn
	}
	*i = integer(n)
	return nil
}

// flag is a bool in an integer column.
type flag bool

func (f *flag) Scan(v any) error {
	var i integer
	if err := i.Scan(v); err != nil {
		return err
	}
	*f = i != 0
	return nil
}

// instant is a time in an integer column, in the form of micros.
type instant time.Time

func (t *instant) Scan(v any) error {
	var i integer
	if err := i.Scan(v); err != nil {
		return err
	}
	*t = instant{}
	if i != 0 {
		*t = instant(time.UnixMicro(int64(i)).UTC())
	}
	return nil
}

// micros returns the stored form of t: Unix microseconds, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fixed is a column of bytes that must have the length of the slice.
type fixed []byte

func (f fixed) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(f) {
		return errColumn
	}
	copy(f, b)
	return nil
}

// blob returns b for a column that is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
