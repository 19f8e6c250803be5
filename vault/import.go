package vault

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// PartialError is the error of an [Vault.Import] that read the whole stream and could not
// store some of its tenants. It wraps the errors of these.
type PartialError struct {
	// Tenants are the names of the tenants that were not stored, in byte order.
	Tenants []string
	err     error
}

// Error names each tenant with its error.
func (e *PartialError) Error() string { return strings.ReplaceAll(e.err.Error(), "\n", "; ") }

// Unwrap returns the errors of the tenants, joined.
func (e *PartialError) Unwrap() error { return e.err }

// Import stores the rows of a stream that [Vault.Export] wrote. It reads r twice, from
// its current position: first it verifies the entire stream and every row in it, and
// then it stores one tenant at a time.
//
// Import continues after a tenant that cannot be stored. The report counts the others,
// and the error is a [*PartialError] with the refused ones. For such a tenant it wraps
// [ErrConflict] if the tenant exists already, or is created meanwhile;
// [keyring.ErrTampered] or [keyring.ErrMalformed] if its rows are damaged; or
// [keyring.ErrNoKey] if the keyring does not have the KEKs of its data keys.
//
// Nothing is stored if the stream itself was edited or truncated ([keyring.ErrTampered]
// or [keyring.ErrMalformed]), or if its own KEK is not in the keyring
// ([keyring.ErrNoKey]). Other errors are those of r, and the storage and key service
// errors of the package comment; if one occurs while Import stores rows, the tenants that
// the report counts are stored, and the next one may be.
func (v *Vault) Import(ctx context.Context, r io.ReadSeeker) (ExportReport, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return ExportReport{}, fmt.Errorf("importing: %w", err)
	}
	var failures []error
	refused := map[string]bool{}
	// try calls do for a tenant and keeps an error that concerns only this tenant.
	try := func(rows *tenantRows, do func(context.Context, *tenantRows) error) (bool, error) {
		if refused[rows.tenant] {
			return false, nil
		}
		err := do(ctx, rows)
		if err == nil {
			return true, nil
		}
		err = fmt.Errorf("tenant %s: %w", clip(rows.tenant), err)
		if !isLocal(err) {
			return false, err
		}
		failures = append(failures, err)
		refused[rows.tenant] = true
		return false, nil
	}
	_, err = v.importFrom(ctx, r, func(rows *tenantRows) (bool, error) { return try(rows, v.checkTenant) })
	if err == nil {
		_, err = r.Seek(start, io.SeekStart)
	}
	var report ExportReport
	if err == nil {
		report, err = v.importFrom(ctx, r, func(rows *tenantRows) (bool, error) { return try(rows, v.storeTenant) })
	}
	switch {
	case err != nil:
		err = errors.Join(append(failures, err)...)
	case len(failures) > 0:
		err = &PartialError{Tenants: slices.Sorted(maps.Keys(refused)), err: errors.Join(failures...)}
	default:
		return report, nil
	}
	return report, fmt.Errorf("importing: %w", err)
}

// tenantRows has the stored rows of a tenant.
type tenantRows struct {
	tenant string
	keys   []keyring.Record
	scopes []exportScope
	docs   []store.Doc // no seal covers them
	audit  []store.AuditRow
}

// importFrom calls take for each tenant of a stream. The report counts the tenants for
// which it returns true.
func (v *Vault) importFrom(ctx context.Context, r io.Reader, take func(*tenantRows) (bool, error)) (ExportReport, error) {
	var report ExportReport
	stream, key, err := v.openExport(ctx, bufio.NewReader(r))
	if err != nil {
		return report, err
	}
	defer key.Destroy()
	lines := bufio.NewReader(stream)
	var rows *tenantRows
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && rows == nil && len(line) == 0 {
				return report, nil
			}
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: the export ends within a tenant", keyring.ErrMalformed)
			}
			return report, err
		}
		var l exportLine
		if err := json.Unmarshal(line, &l); err != nil {
			return report, fmt.Errorf("%w: cannot decode a row of the export", keyring.ErrMalformed)
		}
		switch {
		case l.Tenant != "" && rows == nil:
			rows = &tenantRows{tenant: l.Tenant}
		case l.Key != nil && rows != nil:
			rows.keys = append(rows.keys, l.Key)
		case l.Scope != nil && rows != nil:
			rows.scopes = append(rows.scopes, *l.Scope)
		case l.Doc != nil && rows != nil:
			rows.docs = append(rows.docs, *l.Doc)
		case l.Audit != nil && rows != nil:
			rows.audit = append(rows.audit, *l.Audit)
		case l.End != "" && rows != nil && l.End == rows.tenant:
			taken, err := take(rows)
			if err != nil {
				return report, err
			}
			if taken {
				report.add(rows)
			}
			rows = nil
		default:
			return report, fmt.Errorf("%w: a row of the export is out of place", keyring.ErrMalformed)
		}
	}
}

// openExport reads the header of an export. It returns the reader of its stream, and
// the data key, which the caller destroys.
func (v *Vault) openExport(ctx context.Context, r io.Reader) (io.Reader, *keyring.DataKey, error) {
	var header [exportHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, nil, fmt.Errorf("%w: too short for an export", keyring.ErrMalformed)
	}
	size := binary.BigEndian.Uint32(header[22:])
	if string(header[:4]) != exportMagic || binary.BigEndian.Uint16(header[4:]) != exportSuite || size > maxRecord {
		return nil, nil, fmt.Errorf("%w: bad header of an export", keyring.ErrMalformed)
	}
	id := hex.EncodeToString(header[6:22])
	record := make(keyring.Record, size)
	if _, err := io.ReadFull(r, record); err != nil {
		return nil, nil, fmt.Errorf("%w: the key record of the export is truncated", keyring.ErrMalformed)
	}
	key, err := v.keys.OpenKey(ctx, record, exportContext(id))
	if err != nil {
		return nil, nil, err
	}
	group, err := key.Group(exportContext(id))
	if err != nil {
		key.Destroy()
		return nil, nil, err
	}
	stream, err := group.OpenStream(r, streamContext(id))
	if err != nil {
		key.Destroy()
		return nil, nil, err
	}
	return stream, key, nil
}

// checkTenant verifies the rows of a tenant in an export, and that storage does not
// have the tenant.
func (v *Vault) checkTenant(ctx context.Context, rows *tenantRows) error {
	there, err := v.storage.Read(ctx, store.Query{Scope: rows.tenant})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	if len(there.Keys) > 0 || there.Path[0].Seal != nil {
		return fmt.Errorf("%w: the tenant exists already; import into a vault that does not have it", ErrConflict)
	}
	states := map[string]store.ScopeState{}
	for i := range rows.scopes {
		s := &rows.scopes[i]
		if !ownedBy(s.Scope, rows.tenant) {
			return fmt.Errorf("%w: a scope of the export does not belong to the tenant", keyring.ErrMalformed)
		}
		states[s.Scope] = s.state()
	}
	opened := map[[16]byte]*keyring.DataKey{}
	all := &state{Snapshot: &store.Snapshot{Path: []store.ScopeState{states[rows.tenant]}, Keys: rows.keys}, keys: v.keys, opened: opened}
	all.Path[0].Scope = rows.tenant
	defer all.close()
	for i := range rows.scopes {
		s := &rows.scopes[i]
		snap := &store.Snapshot{Keys: rows.keys, Tokens: s.Tokens}
		for _, scope := range store.Path(s.Scope) {
			st, ok := states[scope]
			if !ok {
				return fmt.Errorf("%w: scope %s of the export is missing", keyring.ErrTampered, clip(scope))
			}
			snap.Path = append(snap.Path, st)
		}
		st := &state{Snapshot: snap, keys: v.keys, opened: opened}
		if err := st.verify(ctx, store.Query{Scope: s.Scope}); err != nil {
			return err
		}
		if err := st.checkAll(ctx, s); err != nil {
			return fmt.Errorf("scope %s: %w", s.Scope, err)
		}
	}
	for i := range rows.docs {
		row := &rows.docs[i]
		if !ownedBy(row.Owner, rows.tenant) || row.Sealed {
			return fmt.Errorf("%w: a document of the export is out of place", keyring.ErrTampered)
		}
		if err := all.checkDoc(ctx, row); err != nil {
			return err
		}
	}
	for _, record := range rows.keys {
		if err := all.openRecord(ctx, record); err != nil {
			return err
		}
	}
	return audit.Check(ctx, rows.tenant, all.key, rows.audit)
}

// ownedBy reports whether scope is a scope of the tenant.
func ownedBy(scope, tenant string) bool {
	return scope == tenant && tenant == store.Platform || CheckScope(scope) == nil && store.Tenant(scope) == tenant
}

// state returns the rows that the seal of s covers.
func (s *exportScope) state() store.ScopeState {
	st := store.ScopeState{Scope: s.Scope, Seal: s.Seal, Docs: s.Docs}
	for _, h := range s.History {
		for _, row := range h.Versions {
			if row.Version == h.Active {
				st.Secrets = append(st.Secrets, row)
			}
		}
	}
	for _, t := range s.Tokens {
		if !t.Revoked.IsZero() {
			st.Revoked = append(st.Revoked, store.RevokedRow{ID: t.ID, Revoked: t.Revoked, RevokedBy: t.RevokedBy})
		}
	}
	return st
}

// add counts the rows of a tenant.
func (r *ExportReport) add(rows *tenantRows) {
	r.Tenants += tenantsIn(rows.tenant)
	r.AuditEntries += len(rows.audit)
	r.Documents += len(rows.docs)
	for i := range rows.scopes {
		r.count(&rows.scopes[i])
	}
}

// storeTenant stores a tenant that checkTenant has verified.
func (v *Vault) storeTenant(ctx context.Context, rows *tenantRows) error {
	change := &store.Change{}
	restoreAudit(change, rows.audit)
	for i, record := range rows.keys {
		change.Keys = append(change.Keys, store.KeyChange{Tenant: rows.tenant, New: record, First: i == 0})
	}
	var uses []store.Usage
	for _, s := range rows.scopes {
		change.Seals = append(change.Seals, store.SealChange{Scope: s.Scope, New: s.Seal})
		for _, h := range s.History {
			restoreName(change, s.Scope, h)
			if n := len(h.Versions); n > 0 && !h.Versions[n-1].LastUsed.IsZero() {
				last := h.Versions[n-1]
				uses = append(uses, store.Usage{Scope: s.Scope, Name: h.Name, Token: last.LastToken, Time: last.LastUsed})
			}
		}
		change.Issue = append(change.Issue, s.Tokens...)
		for _, row := range s.Docs {
			change.Docs = append(change.Docs, store.DocChange{New: row})
		}
		for _, t := range s.Tokens {
			if !t.LastUsed.IsZero() {
				uses = append(uses, store.Usage{Token: t.ID, Time: t.LastUsed, Addr: t.LastAddr, Runner: t.LastRunner})
			}
		}
	}
	for _, row := range rows.docs {
		change.Docs = append(change.Docs, store.DocChange{New: row})
	}
	err := v.storage.Apply(ctx, change)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: another process is writing to the tenant", ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("storing: %w", err)
	}
	if err := v.storage.Touch(ctx, uses); err != nil {
		return fmt.Errorf("storing times of last use: %w", err)
	}
	return nil
}

// restoreAudit adds to c the changes that restore an audit chain.
func restoreAudit(c *store.Change, rows []store.AuditRow) {
	if len(rows) == 0 {
		return
	}
	if dropped := rows[0].Seq - 1; dropped > 0 { // by TrimAudit
		c.StartAudit = []store.AuditRef{{Tenant: rows[0].Tenant, Seq: dropped}}
	}
	c.Append = rows
}

// restoreName adds to c the changes that restore a name: its versions, which of them
// is active, and the highest version number it ever had.
func restoreName(c *store.Change, scope string, h store.NameHistory) {
	c.Insert = append(c.Insert, h.Versions...)
	if len(h.Versions) == 0 {
		// All versions were deleted: inserting and deleting a row restores the
		// number.
		c.Insert = append(c.Insert, store.SecretRow{Scope: scope, Name: h.Name, Version: h.Last, Hidden: true})
		c.Delete = append(c.Delete, store.NameRef{Scope: scope, Name: h.Name})
	}
	if h.Active != 0 {
		c.Activate = append(c.Activate, store.VersionRef{Scope: scope, Name: h.Name, Version: h.Active})
	}
}
