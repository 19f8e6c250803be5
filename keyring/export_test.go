package keyring

// Internals for tests.

// Reencode parses a record and encodes its parts again.
func Reencode(r Record) (Record, error) {
	p, err := parseRecord(r)
	if err != nil {
		return nil, err
	}
	return append(p.body(nil), p.mac[:]...), nil
}

// EncodeAs encodes c with the prepared keys of first, as a group does. It reports false
// if that is not possible.
func EncodeAs(first, c Context) ([]byte, bool) { return newShape(first).appendTo(nil, c) }

// KeyBytes returns the bytes of a key, not a copy, so that a test sees them cleared.
func KeyBytes(d *DataKey) []byte { return d.key.bytes() }

// Groups returns the number of prepared groups of a key.
func Groups(d *DataKey) int {
	d.key.mu.RLock()
	defer d.key.mu.RUnlock()
	return len(d.key.groups)
}

// MaxGroups is the maximum number of prepared groups of a key.
const MaxGroups = maxGroups
