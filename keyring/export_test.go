package keyring

// What tests see of the inside.

// Reencode parses a record and writes its parts again.
func Reencode(r Record) (Record, error) {
	p, err := parseRecord(r)
	if err != nil {
		return nil, err
	}
	return append(p.body(nil), p.mac[:]...), nil
}

// EncodeAs encodes c with the keys of first prepared, as a group does, and tells
// whether that is possible.
func EncodeAs(first, c Context) ([]byte, bool) { return newShape(first).appendTo(nil, c) }

// KeyBytes returns the bytes of a key themselves, to watch them being cleared.
func KeyBytes(d *DataKey) []byte { return d.key.bytes() }

// Groups returns how many groups are prepared in a key.
func Groups(d *DataKey) int {
	d.key.mu.RLock()
	defer d.key.mu.RUnlock()
	return len(d.key.groups)
}

const MaxGroups = maxGroups
