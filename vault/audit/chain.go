package audit

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// labelAudit is the label of the MACs of entries.
const labelAudit = "ska/v1 audit"

// chainMAC returns the MAC that binds an entry to its tenant, its number and the
// previous entry.
func chainMAC(key *keyring.DataKey, previous [32]byte, tenant string, seq int64, entry []byte) ([32]byte, error) {
	var b []byte
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	b = binary.BigEndian.AppendUint16(b, uint16(len(tenant)))
	b = append(b, tenant...)
	return key.MAC(labelAudit, append(b, entry...))
}

// encode returns entries in the form in which they are stored.
func encode(entries []Entry) ([][]byte, error) {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		var err error
		if out[i], err = json.Marshal(e); err != nil {
			return nil, fmt.Errorf("encoding an audit entry: %w", err)
		}
	}
	return out, nil
}

// Chain returns the rows for entries that follow head, which is the newest row of the
// tenant's chain, or nil if the chain is empty. The caller stores them, in
// [store.Change].Append, together with the change that the entries record. Chain does
// not keep key or destroy it. The error is [keyring.ErrKeyState] if key is destroyed.
func Chain(key *keyring.DataKey, tenant string, head *store.AuditRow, entries ...Entry) ([]store.AuditRow, error) {
	encoded, err := encode(entries)
	if err != nil {
		return nil, err
	}
	return chain(key, tenant, head, encoded)
}

// chain is Chain for entries that are already encoded.
func chain(key *keyring.DataKey, tenant string, head *store.AuditRow, entries [][]byte) ([]store.AuditRow, error) {
	var rows []store.AuditRow
	var seq int64
	var previous [32]byte
	if head != nil {
		seq, previous = head.Seq, head.MAC
	}
	for _, entry := range entries {
		seq++
		mac, err := chainMAC(key, previous, tenant, seq, entry)
		if err != nil {
			return nil, err
		}
		rows = append(rows, store.AuditRow{Tenant: tenant, Seq: seq, Entry: entry, KeyID: key.ID(), MAC: mac})
		previous = mac
	}
	return rows, nil
}

// check verifies the rows of a chain in order.
type check struct {
	tenant string
	since  *Head
	last   *store.AuditRow
	// first is the oldest row if the entries before it are missing, until the trim
	// entry that dropped them is found; firstKey is the key of its MAC.
	first    *store.AuditRow
	firstKey *keyring.DataKey
	met      bool // since was found, or was dropped by a trim
}

// next checks the next row.
func (c *check) next(ctx context.Context, find Find, row store.AuditRow) (Entry, error) {
	key, err := find(ctx, row.KeyID)
	if err != nil {
		return Entry{}, err
	}
	tampered := func(what string) (Entry, error) {
		return Entry{}, fmt.Errorf("%w: entry %d %s", keyring.ErrTampered, row.Seq, what)
	}
	var previous [32]byte
	switch {
	case c.last != nil && row.Seq != c.last.Seq+1:
		return tampered("does not follow the previous one: entries are missing")
	case c.last != nil:
		previous = c.last.MAC
	case row.Seq > 1:
		c.first, c.firstKey = &row, key
	case row.Seq < 1:
		return tampered("has an invalid number")
	}
	if c.first == nil || c.last != nil {
		mac, err := chainMAC(key, previous, c.tenant, row.Seq, row.Entry)
		if err != nil {
			return Entry{}, err
		}
		if !hmac.Equal(mac[:], row.MAC[:]) {
			return tampered("was modified")
		}
	}
	c.last = &row
	if c.since != nil && row.Seq == c.since.Seq {
		if row.MAC != c.since.MAC {
			return tampered("does not match the head that was kept")
		}
		c.met = true
	}
	var entry Entry
	if err := json.Unmarshal(row.Entry, &entry); err != nil {
		return tampered("cannot be decoded")
	}
	if entry.Action == Trim {
		return entry, c.checkTrim(entry)
	}
	return entry, nil
}

// checkTrim checks an entry that records the trim of older entries.
func (c *check) checkTrim(e Entry) error {
	if c.since != nil && c.since.Seq <= e.Through {
		c.met = true
	}
	if c.first == nil || c.first.Seq != e.Through+1 {
		return nil
	}
	var previous [32]byte
	if n, err := hex.Decode(previous[:], []byte(e.Head)); err != nil || n != len(previous) {
		return fmt.Errorf("%w: entry %d does not name the head of the entries that it dropped", keyring.ErrTampered, c.last.Seq)
	}
	mac, err := chainMAC(c.firstKey, previous, c.tenant, c.first.Seq, c.first.Entry)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac[:], c.first.MAC[:]) {
		return fmt.Errorf("%w: entry %d was modified", keyring.ErrTampered, c.first.Seq)
	}
	c.first = nil
	return nil
}

// end checks the chain after its last row.
func (c *check) end() error {
	if c.first != nil {
		return fmt.Errorf("%w: the entries before number %d are missing, and no trim accounts for them", keyring.ErrTampered, c.first.Seq)
	}
	if c.since != nil && !c.met {
		return fmt.Errorf("%w: the chain ends before entry %d, whose head was kept", keyring.ErrTampered, c.since.Seq)
	}
	return nil
}
