package sqlstore

import (
	"context"
	"strings"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Read implements [store.Store].
func (s *Store) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	var snap *store.Snapshot
	err := s.inTx(ctx, s.dialect.beginRead, func(x *tx) (err error) {
		snap, err = x.read(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// Changes implements [store.Store].
func (s *Store) Changes(ctx context.Context, since int64) (newest int64, scopes []string, err error) {
	err = s.inTx(ctx, s.dialect.beginRead, func(x *tx) error {
		scopes = nil
		err := x.query(ctx, "reading changes", "SELECT newest FROM [changes]", nil, func(scan func(...any) error) error {
			return scan((*integer)(&newest))
		})
		if err != nil || newest <= since {
			return err
		}
		return x.query(ctx, "reading seals", "SELECT scope FROM [seals] WHERE changed > ?", []any{since}, func(scan func(...any) error) error {
			var scope string
			err := scan(&scope)
			scopes = append(scopes, scope)
			return err
		})
	})
	if err != nil {
		return 0, nil, err
	}
	return newest, scopes, nil
}

func (x *tx) read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap := &store.Snapshot{}
	if q.Token != "" {
		tokens, err := x.tokens(ctx, "WHERE id = ?", q.Token)
		if err != nil || len(tokens) == 0 {
			return snap, err
		}
		snap.Token = &tokens[0]
		q.Scope = snap.Token.Scope
	}
	path := newPath(q.Scope)
	snap.Path = path.states
	if err := x.readSeals(ctx, path); err != nil {
		return nil, err
	}
	if !q.SealsOnly {
		if err := x.readSecrets(ctx, path); err != nil {
			return nil, err
		}
		if err := x.readRevoked(ctx, path); err != nil {
			return nil, err
		}
		if err := x.readDocs(ctx, path); err != nil {
			return nil, err
		}
		if err := x.readKeys(ctx, snap, store.Tenant(q.Scope)); err != nil {
			return nil, err
		}
	}
	if q.Name != "" {
		if err := x.readVersions(ctx, snap, q.Scope, q.Name); err != nil {
			return nil, err
		}
	}
	if q.History {
		if err := x.readHistory(ctx, snap, q.Scope); err != nil {
			return nil, err
		}
	}
	if q.Minted {
		if err := x.readMinted(ctx, path); err != nil {
			return nil, err
		}
	}
	if q.AuditHead {
		head, err := x.audit(ctx, "WHERE tenant = ? ORDER BY seq DESC LIMIT 1", store.Tenant(q.Scope))
		if err != nil {
			return nil, err
		}
		if len(head) > 0 {
			snap.AuditHead = &head[0]
		}
	}
	if q.Tokens {
		var err error
		if snap.Tokens, err = x.tokens(ctx, "WHERE scope = ? ORDER BY created, id", q.Scope); err != nil {
			return nil, err
		}
	}
	if q.Below {
		if err := x.readBelow(ctx, snap, q.Scope); err != nil {
			return nil, err
		}
	}
	return snap, nil
}

// path collects the states of a scope and its ancestors.
type path struct {
	states []store.ScopeState
	in     string // an IN condition for a column with a scope
	args   []any  // of in
}

func newPath(scope string) *path {
	p := &path{}
	for _, s := range store.Path(scope) {
		p.states = append(p.states, store.ScopeState{Scope: s})
		p.args = append(p.args, s)
	}
	p.in = " IN (?" + strings.Repeat(", ?", len(p.args)-1) + ")"
	return p
}

// state returns the state of a scope on the path.
func (p *path) state(scope string) *store.ScopeState {
	for i := range p.states {
		if p.states[i].Scope == scope {
			return &p.states[i]
		}
	}
	return &store.ScopeState{} // unreachable because of the condition
}

func (x *tx) readSeals(ctx context.Context, p *path) error {
	return x.query(ctx, "reading seals", "SELECT scope, seal FROM [seals] WHERE scope"+p.in, p.args, func(scan func(...any) error) error {
		var scope string
		var seal []byte
		if err := scan(&scope, &seal); err != nil {
			return err
		}
		p.state(scope).Seal = seal
		return nil
	})
}

// selectSecrets selects the columns that scanSecret reads.
const selectSecrets = `SELECT s.scope, s.name, s.version, s.hidden, s.kind, s.delivery, s.author, s.comment, s.hosts, s.created, s.rotated, s.expires,
	s.key_id, s.message, s.preview, s.mac, h.last_used, h.last_token
	FROM [heads] h JOIN [secrets] s ON s.scope = h.scope AND s.name = h.name `

func scanSecret(scan func(...any) error) (store.SecretRow, error) {
	var r store.SecretRow
	err := scan(&r.Scope, &r.Name, (*integer)(&r.Version), (*flag)(&r.Hidden), &r.Kind, &r.Delivery, &r.Author, &r.Comment, &r.Hosts,
		(*instant)(&r.Created), (*instant)(&r.Rotated), (*instant)(&r.Expires),
		fixed(r.KeyID[:]), &r.Message, &r.Preview, fixed(r.MAC[:]), (*instant)(&r.LastUsed), &r.LastToken)
	return r, err
}

func (x *tx) readSecrets(ctx context.Context, p *path) error {
	query := selectSecrets + "AND s.version = h.active WHERE h.scope" + p.in + " ORDER BY h.scope, h.name"
	return x.query(ctx, "reading secrets", query, p.args, func(scan func(...any) error) error {
		row, err := scanSecret(scan)
		if err != nil {
			return err
		}
		st := p.state(row.Scope)
		st.Secrets = append(st.Secrets, row)
		return nil
	})
}

func (x *tx) readRevoked(ctx context.Context, p *path) error {
	query := "SELECT scope, id, revoked, revoked_by FROM [tokens] WHERE revoked <> 0 AND scope" + p.in + " ORDER BY scope, id"
	return x.query(ctx, "reading tokens", query, p.args, func(scan func(...any) error) error {
		var scope string
		var row store.RevokedRow
		if err := scan(&scope, &row.ID, (*instant)(&row.Revoked), &row.RevokedBy); err != nil {
			return err
		}
		st := p.state(scope)
		st.Revoked = append(st.Revoked, row)
		return nil
	})
}

func (x *tx) readKeys(ctx context.Context, snap *store.Snapshot, tenant string) error {
	return x.query(ctx, "reading data_keys", "SELECT record FROM [data_keys] WHERE tenant = ?", []any{tenant}, func(scan func(...any) error) error {
		var record []byte
		err := scan(&record)
		snap.Keys = append(snap.Keys, keyring.Record(record))
		return err
	})
}

func (x *tx) readVersions(ctx context.Context, snap *store.Snapshot, scope, name string) error {
	err := x.query(ctx, "reading heads", "SELECT last FROM [heads] WHERE scope = ? AND name = ?", []any{scope, name}, func(scan func(...any) error) error {
		return scan((*integer)(&snap.Last))
	})
	if err != nil {
		return err
	}
	query := selectSecrets + "WHERE h.scope = ? AND h.name = ? ORDER BY s.version"
	return x.query(ctx, "reading secrets", query, []any{scope, name}, func(scan func(...any) error) error {
		row, err := scanSecret(scan)
		snap.Versions = append(snap.Versions, row)
		return err
	})
}

func (x *tx) readHistory(ctx context.Context, snap *store.Snapshot, scope string) error {
	err := x.query(ctx, "reading heads", "SELECT name, coalesce(active, 0), last FROM [heads] WHERE scope = ? ORDER BY name", []any{scope}, func(scan func(...any) error) error {
		var h store.NameHistory
		err := scan(&h.Name, (*integer)(&h.Active), (*integer)(&h.Last))
		snap.History = append(snap.History, h)
		return err
	})
	if err != nil {
		return err
	}
	query := selectSecrets + "WHERE s.scope = ? ORDER BY s.name, s.version"
	place := map[string]int{}
	for i, h := range snap.History {
		place[h.Name] = i
	}
	return x.query(ctx, "reading secrets", query, []any{scope}, func(scan func(...any) error) error {
		row, err := scanSecret(scan)
		if err != nil {
			return err
		}
		h := &snap.History[place[row.Name]]
		h.Versions = append(h.Versions, row)
		return nil
	})
}

func (x *tx) readMinted(ctx context.Context, p *path) error {
	query := "SELECT scope, integration, identity, minted, expires, message FROM [minted] WHERE scope" + p.in + " ORDER BY scope, integration"
	return x.query(ctx, "reading minted", query, p.args, func(scan func(...any) error) error {
		var r store.MintedRow
		if err := scan(&r.Scope, &r.Integration, &r.Identity, (*instant)(&r.Minted), (*instant)(&r.Expires), &r.Message); err != nil {
			return err
		}
		st := p.state(r.Scope)
		st.Minted = append(st.Minted, r)
		return nil
	})
}

// tokens returns the tokens selected by where.
func (x *tx) tokens(ctx context.Context, where string, args ...any) ([]store.TokenRow, error) {
	query := `SELECT id, hash, scope, created, expires, rotate_by, generation, label, waived, thumbprint, key_id, mac, author, revoked, revoked_by, last_used, last_addr, last_runner
		FROM [tokens] ` + where
	var rows []store.TokenRow
	err := x.query(ctx, "reading tokens", query, args, func(scan func(...any) error) error {
		var r store.TokenRow
		err := scan(&r.ID, fixed(r.Hash[:]), &r.Scope, (*instant)(&r.Created), (*instant)(&r.Expires), (*instant)(&r.RotateBy),
			(*integer)(&r.Generation), &r.Label, &r.Waived, &r.Thumbprint, fixed(r.KeyID[:]), fixed(r.MAC[:]), &r.Author, (*instant)(&r.Revoked), &r.RevokedBy,
			(*instant)(&r.LastUsed), &r.LastAddr, &r.LastRunner)
		rows = append(rows, r)
		return err
	})
	return rows, err
}

func (x *tx) readBelow(ctx context.Context, snap *store.Snapshot, scope string) error {
	// Scopes that begin with "acme/" are between "acme/" and "acme0", because 0
	// follows the slash.
	query := "SELECT scope FROM [seals] WHERE scope > ? AND scope < ? ORDER BY scope"
	return x.query(ctx, "reading scopes", query, []any{scope + "/", scope + "0"}, func(scan func(...any) error) error {
		var below string
		if err := scan(&below); err != nil {
			return err
		}
		snap.Below = append(snap.Below, below)
		return nil
	})
}
