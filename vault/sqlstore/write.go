package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/vault/store"
)

// Apply implements [store.Store].
func (s *Store) Apply(ctx context.Context, c *store.Change) error {
	return s.inTx(ctx, s.dialect.beginWrite, func(x *tx) error { return x.apply(ctx, c) })
}

// apply carries out c. Parts that can conflict come first; the other parts do not
// overlap and are in the order of the fields.
func (x *tx) apply(ctx context.Context, c *store.Change) error {
	if err := x.applyExpected(ctx, c); err != nil {
		return err
	}
	for _, ref := range c.Activate {
		err := x.require(ctx, "activating a version in heads", `UPDATE [heads] SET active = ? WHERE scope = ? AND name = ?
			AND EXISTS (SELECT 1 FROM [secrets] WHERE scope = ? AND name = ? AND version = ?)`,
			ref.Version, ref.Scope, ref.Name, ref.Scope, ref.Name, ref.Version)
		if err != nil {
			return err
		}
	}
	for _, ref := range c.Prune {
		_, err := x.exec(ctx, "pruning secrets", `DELETE FROM [secrets] WHERE scope = ? AND name = ? AND version < ?
			AND version <> (SELECT active FROM [heads] WHERE scope = ? AND name = ?)`,
			ref.Scope, ref.Name, ref.Version, ref.Scope, ref.Name)
		if err != nil {
			return err
		}
	}
	for _, ref := range c.Delete {
		if err := x.delete(ctx, ref); err != nil {
			return err
		}
	}
	for _, r := range c.Revoke {
		err := x.require(ctx, "revoking a token in tokens", "UPDATE [tokens] SET revoked = ?, revoked_by = ? WHERE id = ?", micros(r.Revoked), r.RevokedBy, r.ID)
		if err != nil {
			return err
		}
	}
	for _, r := range c.Reseal {
		err := x.require(ctx, "resealing a version in secrets", "UPDATE [secrets] SET key_id = ?, message = ?, preview = ?, mac = ? WHERE scope = ? AND name = ? AND version = ?",
			r.KeyID[:], blob(r.Message), blob(r.Preview), r.MAC[:], r.Scope, r.Name, r.Version)
		if err != nil {
			return err
		}
	}
	if err := x.remac(ctx, c.Remac); err != nil {
		return err
	}
	if err := x.dropTokens(ctx, c.DropTokens); err != nil {
		return err
	}
	for _, e := range c.ExpireDocs {
		if err := x.expireDocs(ctx, e); err != nil {
			return err
		}
	}
	for _, ref := range c.DropAudit {
		if err := x.dropAudit(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

// applyExpected carries out the parts of c that can conflict.
func (x *tx) applyExpected(ctx context.Context, c *store.Change) error {
	// This statement comes first because it serializes writers in any database. A number
	// that was edited to the highest must not stop all writes.
	var number int64
	update := fmt.Sprintf("UPDATE [changes] SET newest = CASE WHEN newest < %d THEN newest + 1 ELSE 1 END RETURNING newest", int64(1)<<53)
	err := x.query(ctx, "updating changes", update, nil, func(scan func(...any) error) error {
		return scan((*integer)(&number))
	})
	if err != nil {
		return err
	}
	for _, k := range c.Keys {
		if err := x.putKey(ctx, k); err != nil {
			return err
		}
	}
	for _, seal := range c.Seals {
		if err := x.putSeal(ctx, seal, number); err != nil {
			return err
		}
	}
	for _, row := range c.Insert {
		if err := x.insert(ctx, row); err != nil {
			return err
		}
	}
	for _, row := range c.Issue {
		if err := x.issue(ctx, row); err != nil {
			return err
		}
	}
	for _, m := range c.Mint {
		if err := x.mint(ctx, m); err != nil {
			return err
		}
	}
	for _, doc := range c.Docs {
		if err := x.putDoc(ctx, doc); err != nil {
			return err
		}
	}
	return x.append(ctx, c)
}

func (x *tx) putKey(ctx context.Context, k store.KeyChange) error {
	key, err := store.KeyID(k.New)
	if err != nil {
		return fmt.Errorf("writing data_keys: %w", err)
	}
	id := key[:]
	switch {
	case k.Old != nil:
		return x.expect(ctx, "updating data_keys", "UPDATE [data_keys] SET record = ? WHERE tenant = ? AND id = ? AND record = ?",
			blob(k.New), k.Tenant, id, blob(k.Old))
	case k.First:
		return x.expect(ctx, "inserting into data_keys", `INSERT INTO [data_keys] (tenant, id, record) SELECT ?, ?, ?
			WHERE NOT EXISTS (SELECT 1 FROM [data_keys] WHERE tenant = ?)`,
			k.Tenant, id, blob(k.New), k.Tenant)
	}
	return x.expect(ctx, "inserting into data_keys", "INSERT INTO [data_keys] (tenant, id, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		k.Tenant, id, blob(k.New))
}

func (x *tx) putSeal(ctx context.Context, c store.SealChange, number int64) error {
	if c.Old == nil {
		return x.expect(ctx, "inserting into seals", "INSERT INTO [seals] (scope, seal, changed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			c.Scope, blob(c.New), number)
	}
	return x.expect(ctx, "updating seals", "UPDATE [seals] SET seal = ?, changed = ? WHERE scope = ? AND seal = ?",
		blob(c.New), number, c.Scope, blob(c.Old))
}

func (x *tx) insert(ctx context.Context, r store.SecretRow) error {
	err := x.expect(ctx, "inserting into secrets", `INSERT INTO [secrets]
		(scope, name, version, hidden, kind, delivery, author, comment, hosts, created, rotated, expires, key_id, message, preview, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.Scope, r.Name, r.Version, bit(r.Hidden), r.Kind, r.Delivery, r.Author, r.Comment, r.Hosts, micros(r.Created), micros(r.Rotated), micros(r.Expires),
		r.KeyID[:], blob(r.Message), blob(r.Preview), r.MAC[:])
	if err != nil {
		return err
	}
	_, err = x.exec(ctx, "writing heads", `INSERT INTO [heads] AS h (scope, name, active, last) VALUES (?, ?, ?, ?)
		ON CONFLICT (scope, name) DO UPDATE SET active = excluded.active,
			last = CASE WHEN excluded.last > h.last THEN excluded.last ELSE h.last END`,
		r.Scope, r.Name, r.Version, r.Version)
	return err
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (x *tx) delete(ctx context.Context, ref store.NameRef) error {
	if _, err := x.exec(ctx, "deleting from secrets", "DELETE FROM [secrets] WHERE scope = ? AND name = ?", ref.Scope, ref.Name); err != nil {
		return err
	}
	_, err := x.exec(ctx, "updating heads", "UPDATE [heads] SET active = NULL, last_used = 0, last_token = '' WHERE scope = ? AND name = ?", ref.Scope, ref.Name)
	return err
}

func (x *tx) issue(ctx context.Context, r store.TokenRow) error {
	return x.expect(ctx, "inserting into tokens", `INSERT INTO [tokens]
		(id, hash, scope, created, expires, rotate_by, generation, label, waived, thumbprint, key_id, mac, author, revoked, revoked_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.ID, r.Hash[:], r.Scope, micros(r.Created), micros(r.Expires), micros(r.RotateBy),
		r.Generation, r.Label, r.Waived, r.Thumbprint, r.KeyID[:], r.MAC[:], r.Author, micros(r.Revoked), r.RevokedBy)
}

// remac writes the MACs of tokens. If a token has several rows, the last one counts.
func (x *tx) remac(ctx context.Context, rows []store.TokenRow) error {
	place := map[string]int{}
	var last []store.TokenRow
	for _, r := range rows {
		if i, ok := place[r.ID]; ok {
			last[i] = r
			continue
		}
		place[r.ID] = len(last)
		last = append(last, r)
	}
	bytes := x.store.dialect.bytes
	for batch := range batches(last) {
		args := make([]any, 0, 4*len(batch))
		for i := range batch {
			r := &batch[i]
			args = append(args, r.ID, r.Generation, r.KeyID[:], r.MAC[:])
		}
		query := "WITH macs (id, generation, key_id, mac) AS (" + values(len(batch), "(?, CAST(? AS BIGINT), "+bytes+", "+bytes+")") + `)
			UPDATE [tokens] AS t SET generation = macs.generation, key_id = macs.key_id, mac = macs.mac FROM macs WHERE t.id = macs.id`
		if err := x.requireAll(ctx, len(batch), "writing the MACs of tokens", query, args...); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) dropTokens(ctx context.Context, refs []store.TokenRef) error {
	for len(refs) > 0 {
		scope := refs[0].Scope
		n := slices.IndexFunc(refs, func(ref store.TokenRef) bool { return ref.Scope != scope })
		if n < 0 {
			n = len(refs)
		}
		for batch := range batches(refs[:n]) {
			args := []any{scope}
			for _, ref := range batch {
				args = append(args, ref.ID)
			}
			query := "DELETE FROM [tokens] WHERE scope = ? AND id IN (?" + strings.Repeat(", ?", len(batch)-1) + ")"
			if err := x.requireAll(ctx, len(batch), "dropping tokens", query, args...); err != nil {
				return err
			}
		}
		refs = refs[n:]
	}
	return nil
}

func (x *tx) mint(ctx context.Context, c store.MintChange) error {
	r := c.New
	switch {
	case c.Old == "" && r.Identity == "":
		var found int64
		err := x.query(ctx, "reading minted", "SELECT count(*) FROM [minted] WHERE scope = ? AND integration = ?", []any{r.Scope, r.Integration},
			func(scan func(...any) error) error { return scan((*integer)(&found)) })
		if err == nil && found > 0 {
			err = fmt.Errorf("reading minted: %w", store.ErrConflict)
		}
		return err
	case c.Old == "":
		return x.expect(ctx, "inserting into minted", `INSERT INTO [minted] (scope, integration, identity, minted, expires, message)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.Scope, r.Integration, r.Identity, micros(r.Minted), micros(r.Expires), blob(r.Message))
	case r.Identity == "":
		return x.expect(ctx, "deleting from minted", "DELETE FROM [minted] WHERE scope = ? AND integration = ? AND identity = ?",
			r.Scope, r.Integration, c.Old)
	}
	return x.expect(ctx, "updating minted", `UPDATE [minted] SET identity = ?, minted = ?, expires = ?, message = ?
		WHERE scope = ? AND integration = ? AND identity = ?`,
		r.Identity, micros(r.Minted), micros(r.Expires), blob(r.Message), r.Scope, r.Integration, c.Old)
}
