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
		_, err := x.exec(ctx, "deleting from probe", "DELETE FROM [probe] WHERE number > ?", number)
		return err
	})
}
