package sqlstore

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
)

// probeSize is the size in bytes of the row that Ping writes. With it, Ping writes more
// than a usual Apply, so that it fails before that on a disk that becomes full.
const probeSize = 32 << 10

// Ping implements [store.Store].
func (s *Store) Ping(ctx context.Context) error {
	filler := make([]byte, probeSize)
	_, _ = rand.Read(filler)   // never fails; a database cannot compress it
	number := mathrand.Int64() // and not the next one, which an edit of the table could exhaust
	return s.inTx(ctx, s.dialect.beginWrite, func(x *tx) error {
		if err := x.lockWriters(ctx); err != nil {
			return err
		}
		// The old row goes last: replacing it would need no free space.
		if _, err := x.exec(ctx, "inserting into probe", "INSERT INTO [probe] (number, filler) VALUES (?, ?)", number, filler); err != nil {
			return err
		}
		if _, err := x.exec(ctx, "deleting from probe", "DELETE FROM [probe] WHERE number < ?", number); err != nil {
			return err
		}
		if _, err := x.exec(ctx, "deleting from probe", "DELETE FROM [probe] WHERE number > ?", number); err != nil {
			return err
		}
		return x.tryTables(ctx, number)
	})
}

// tryTables fails if the tables of an Apply cannot be written to, for example because a
// right was revoked. It changes nothing.
func (x *tx) tryTables(ctx context.Context, number int64) error {
	for _, table := range []string{"secrets", "heads", "seals", "tokens", "docs"} {
		if _, err := x.exec(ctx, "writing to "+table, "INSERT INTO ["+table+"] SELECT * FROM ["+table+"] WHERE 1 = 0"); err != nil {
			return err
		}
	}
	// Every write and every delivery inserts into this table, so a row is inserted.
	if _, err := x.exec(ctx, "inserting into audit", "INSERT INTO [audit] (tenant, seq, entry, key_id, mac) VALUES ('', ?, ?, ?, ?)", number, []byte{}, make([]byte, 16), make([]byte, 32)); err != nil {
		return err
	}
	_, err := x.exec(ctx, "deleting from audit", "DELETE FROM [audit] WHERE tenant = '' AND seq = ?", number)
	return err
}
