package store

import (
	"errors"

	"github.com/satchelhq/satchel/keyring"
)

// KeyID returns the id of the data key that r is a record of: the 16 bytes by
// which a [Store] tells the records of a tenant apart. It looks at nothing else
// in r, and fails if r is too short to have an id.
func KeyID(r keyring.Record) ([16]byte, error) {
	if len(r) < 22 {
		return [16]byte{}, errors.New("the record is too short to have a key id")
	}
	return [16]byte(r[6:22]), nil
}
