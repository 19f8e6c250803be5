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

// Chain returns the rows for entries that follow head, which is the newest row of the
// tenant's chain, or nil if the chain is empty. [Log.Commit] stores such rows together
// with the change that the entries record. Chain does not keep key or destroy it. The
// error is [keyring.ErrKeyState] if key is destroyed, or [keyring.ErrTampered] if the
// number of head is invalid.
func Chain(key *keyring.DataKey, tenant string, head *store.AuditRow, entries ...Entry) ([]store.AuditRow, error) {
	var rows []store.AuditRow
	var seq int64
	var previous [32]byte
	if head != nil {
		seq, previous = head.Seq, head.MAC
		if err := checkSeq(seq); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		encoded, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encoding an audit entry: %w", err)
		}
		seq++
		mac, err := chainMAC(key, previous, tenant, seq, encoded)
		if err != nil {
			return nil, err
		}
		rows = append(rows, store.AuditRow{Tenant: tenant, Seq: seq, Entry: encoded, KeyID: key.ID(), MAC: mac})
		previous = mac
	}
	return rows, nil
}

// checkSeq returns [keyring.ErrTampered] if the number of a stored entry is invalid.
func checkSeq(seq int64) error {
	if seq < 1 || seq >= maxSeq {
		return fmt.Errorf("%w: an audit entry has the invalid number %d", keyring.ErrTampered, seq)
	}
	return nil
}

// authentic returns the entry of row, whose previous row has the MAC previous, or
// [keyring.ErrTampered].
func authentic(ctx context.Context, find Find, tenant string, previous [32]byte, row *store.AuditRow) (Entry, error) {
	var e Entry
	if err := checkSeq(row.Seq); err != nil {
		return e, err
	}
	key, err := find(ctx, row.KeyID)
	if err != nil {
		return e, err
	}
	mac, err := chainMAC(key, previous, tenant, row.Seq, row.Entry)
	if err != nil {
		return e, err
	}
	if !hmac.Equal(mac[:], row.MAC[:]) {
		return e, fmt.Errorf("%w: entry %d was modified", keyring.ErrTampered, row.Seq)
	}
	return e, decode(row, &e)
}

// decode decodes the entry of row.
func decode(row *store.AuditRow, e *Entry) error {
	if err := json.Unmarshal(row.Entry, e); err != nil {
		return fmt.Errorf("%w: entry %d cannot be decoded", keyring.ErrTampered, row.Seq)
	}
	return nil
}

// source has the rows of one chain.
type source interface {
	// above returns up to limit rows with numbers above after, in order.
	above(ctx context.Context, after int64, limit int) ([]store.AuditRow, error)
	// newest returns the number of the newest row, or 0 if there is none.
	newest(ctx context.Context) (int64, error)
}

// check verifies the rows of a chain in order.
type check struct {
	tenant string
	find   Find
	source source // of the chain, to find the entries of trims
	since  *Head
	last   *store.AuditRow
	met    bool // since was found, or was dropped by a trim
}

// next returns the entry of the next row. verified is false if the row before it is
// missing and no trim accounts for that.
func (c *check) next(ctx context.Context, row *store.AuditRow) (e Entry, verified bool, err error) {
	if err := checkSeq(row.Seq); err != nil {
		return e, false, err
	}
	var previous [32]byte
	switch {
	case c.last != nil && row.Seq <= c.last.Seq:
		return e, false, fmt.Errorf("%w: entry %d does not follow entry %d", keyring.ErrTampered, row.Seq, c.last.Seq)
	case c.last != nil && row.Seq == c.last.Seq+1:
		previous, verified = c.last.MAC, true
	case row.Seq == 1:
		verified = true
	default:
		if previous, verified, err = c.dropped(ctx, row); err != nil {
			return e, false, err
		}
	}
	if verified {
		e, err = authentic(ctx, c.find, c.tenant, previous, row)
	} else {
		err = decode(row, &e)
	}
	if err != nil {
		return e, false, err
	}
	c.last = row
	if c.since != nil && row.Seq == c.since.Seq {
		if row.MAC != c.since.MAC {
			return e, false, fmt.Errorf("%w: entry %d does not match the head that was kept", keyring.ErrTampered, row.Seq)
		}
		c.met = true
	}
	if c.since != nil && e.Action == Trim && c.since.Seq <= e.Through {
		c.met = true
	}
	return e, verified, nil
}

// dropped looks for the entry of the trim that dropped the rows before row, and returns
// the MAC of the last of these. It reads backward, because the newest trim comes first,
// and earlier ones dropped less. The entry of a trim is authentic whatever else is
// missing, because its MAC covers that of the row before it.
func (c *check) dropped(ctx context.Context, row *store.AuditRow) (head [32]byte, found bool, err error) {
	through := row.Seq - 1
	var e Entry
	if decode(row, &e) == nil && e.Action == Trim && e.Through == through {
		head, found = e.head() // it dropped all others; the caller checks it
		return head, found, nil
	}
	end, err := c.source.newest(ctx)
	if err != nil {
		return head, false, err
	}
	for end > row.Seq {
		begin := max(end-together, row.Seq)
		rows, err := c.source.above(ctx, begin-1, int(end-begin)+1)
		if err != nil {
			return head, false, err
		}
		for i := len(rows) - 1; i >= 1; i-- {
			var e Entry
			if rows[i].Seq != rows[i-1].Seq+1 || decode(&rows[i], &e) != nil || e.Action != Trim {
				continue
			}
			if e, err = authentic(ctx, c.find, c.tenant, rows[i-1].MAC, &rows[i]); err != nil {
				return head, false, err
			}
			if e.Through <= through {
				head, found = e.head()
				return head, found && e.Through == through, nil
			}
		}
		end = begin
	}
	return head, false, nil
}

// head returns the MAC that the entry of a trim names. ok is false if it is malformed.
func (e *Entry) head() (head [32]byte, ok bool) {
	n, err := hex.Decode(head[:], []byte(e.Head))
	return head, err == nil && n == len(head)
}

// strict is next for a chain that must have all rows.
func (c *check) strict(ctx context.Context, row *store.AuditRow) (Entry, error) {
	e, verified, err := c.next(ctx, row)
	if err == nil && !verified {
		err = missing(row.Seq)
	}
	return e, err
}

func missing(seq int64) error {
	return fmt.Errorf("%w: the entries before number %d are missing, and no trim accounts for them", keyring.ErrTampered, seq)
}

// end checks the chain after its last row.
func (c *check) end() error {
	if c.since != nil && !c.met {
		return fmt.Errorf("%w: the chain ends before entry %d, whose head was kept", keyring.ErrTampered, c.since.Seq)
	}
	return nil
}
