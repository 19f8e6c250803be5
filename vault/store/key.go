package store

import (
	"errors"

	"github.com/satchelhq/satchel/keyring"
)

// KeyID returns the id of the data key in the record r: the 16 bytes that distinguish
// the records of a tenant in a [Store]. It looks at nothing else in r. It returns an
// error without a sentinel if r is too short to contain an id.
func KeyID(r keyring.Record) ([16]byte, error) {
	if len(r) < 22 {
		return [16]byte{}, errors.New("key record is too short to contain a key id")
	}
	return [16]byte(r[6:22]), nil
}
