package vault

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// An export (SKX, version 1; docs/format.md) is a header, followed by a stream of
// package keyring whose context holds the export's id:
//
//	"SKX" 0x01 | u16 suite | export id[16] | u32 length, key record | stream
const (
	exportMagic  = "SKX\x01"
	exportSuite  = 1
	exportHeader = 4 + 2 + 16 + 4
	// auditAtATime is the number of audit entries that one read returns.
	auditAtATime = 500
	// maxRecord is more than the length of any key record.
	maxRecord = 64 << 10
)

// ExportReport counts the rows of an export or import.
type ExportReport struct {
	// Tenants is the number of tenants that were completed.
	Tenants int
	// Scopes is the number of scopes that have a seal.
	Scopes int
	// Versions is the number of versions of secrets, tombstones included.
	Versions int
	// Tokens is the number of runner tokens, including those that have ended.
	Tokens int
	// AuditEntries is the number of audit entries.
	AuditEntries int
}

// Export writes the vault to w as one sealed stream: key records, all versions of
// secrets, tokens and audit chains, but not the secrets that integrations minted. It
// decrypts no value. Importing the stream requires a keyring with the KEKs of this
// vault's keyring.
//
// Export reads each scope as one consistent snapshot, and the vault can be used
// meanwhile. Import refuses a truncated stream, so w needs no protection against
// that. The caller closes w.
//
// On error, the report counts the rows written so far. The error is that of w, or
// one of the storage and key service errors of the package comment.
func (v *Vault) Export(ctx context.Context, w io.Writer) (ExportReport, error) {
	var report ExportReport
	out, err := v.newExport(ctx, w)
	if err != nil {
		return report, fmt.Errorf("exporting: %w", err)
	}
	defer out.key.Destroy()
	for tenant, err := range tenants(ctx, v.storage) {
		if err == nil {
			err = v.exportTenant(ctx, tenant, out, &report)
		}
		if err != nil {
			return report, fmt.Errorf("exporting: %w", err)
		}
	}
	if err := out.stream.Close(); err != nil {
		return report, fmt.Errorf("exporting: %w", err)
	}
	return report, nil
}

// exportLine is one line of the stream's plaintext. Exactly one of its fields is set.
type exportLine struct {
	Tenant string          `json:"tenant,omitempty"` // begins a tenant
	Key    keyring.Record  `json:"key,omitempty"`
	Scope  *exportScope    `json:"scope,omitempty"`
	Audit  *store.AuditRow `json:"audit,omitempty"`
	End    string          `json:"end,omitempty"` // ends a tenant
}

// exportScope has the stored rows of a scope.
type exportScope struct {
	Scope   string
	Seal    []byte
	History []store.NameHistory
	Tokens  []store.TokenRow
}

func (v *Vault) exportTenant(ctx context.Context, tenant string, out *exporter, report *ExportReport) error {
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, Below: true})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	if err := out.writeLine(exportLine{Tenant: tenant}); err != nil {
		return err
	}
	for _, scope := range append([]string{tenant}, slices.Sorted(maps.Keys(snap.Below))...) {
		snap, err := v.storage.Read(ctx, store.Query{Scope: scope, History: true, Tokens: true})
		if err != nil {
			return fmt.Errorf("reading from storage: %w", err)
		}
		s := exportScope{Scope: scope, Seal: snap.Path[len(snap.Path)-1].Seal, History: snap.History, Tokens: snap.Tokens}
		if s.Seal == nil {
			continue // a tenant that has a data key and no rows
		}
		report.count(s)
		if err := out.writeLine(exportLine{Scope: &s}); err != nil {
			return err
		}
	}
	var seq int64
	for {
		rows, err := v.storage.Audit(ctx, tenant, seq, auditAtATime)
		if err != nil {
			return fmt.Errorf("reading from storage: %w", err)
		}
		for _, row := range rows {
			if err := out.writeLine(exportLine{Audit: &row}); err != nil {
				return err
			}
			seq = row.Seq
		}
		report.AuditEntries += len(rows)
		if len(rows) < auditAtATime {
			break
		}
	}
	// Keys come last: data keys are never removed, so those of the rows above are
	// among them.
	if snap, err = v.storage.Read(ctx, store.Query{Scope: tenant}); err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	for _, record := range snap.Keys {
		if err := out.writeLine(exportLine{Key: record}); err != nil {
			return err
		}
	}
	report.Tenants++
	return out.writeLine(exportLine{End: tenant})
}

func (r *ExportReport) count(s exportScope) {
	r.Scopes++
	r.Tokens += len(s.Tokens)
	for _, h := range s.History {
		r.Versions += len(h.Versions)
	}
}

// exporter writes lines to a sealed stream.
type exporter struct {
	key    *keyring.DataKey
	stream io.WriteCloser
}

// exportContext is the context of an export's data key and of its group.
func exportContext(id string) keyring.Context {
	return keyring.Context{"purpose": "export", "export": id}
}

// streamContext is the context of an export's stream.
func streamContext(id string) keyring.Context { return keyring.Context{"export": id} }

func (v *Vault) newExport(ctx context.Context, w io.Writer) (*exporter, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails; see crypto/rand
	name := hex.EncodeToString(id[:])
	key, record, err := v.keys.NewKey(ctx, exportContext(name))
	if err != nil {
		return nil, err
	}
	stream, err := startExport(w, id, key, record)
	if err != nil {
		key.Destroy()
		return nil, err
	}
	return &exporter{key: key, stream: stream}, nil
}

// startExport writes the header of an export and returns the writer of its stream.
func startExport(w io.Writer, id [16]byte, key *keyring.DataKey, record keyring.Record) (io.WriteCloser, error) {
	name := hex.EncodeToString(id[:])
	group, err := key.Group(exportContext(name))
	if err != nil {
		return nil, err
	}
	header := []byte(exportMagic)
	header = binary.BigEndian.AppendUint16(header, exportSuite)
	header = append(header, id[:]...)
	header = binary.BigEndian.AppendUint32(header, uint32(len(record)))
	if _, err := w.Write(append(header, record...)); err != nil {
		return nil, err
	}
	return group.SealStream(w, streamContext(name))
}

func (e *exporter) writeLine(l exportLine) error {
	encoded, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encoding a row: %w", err)
	}
	_, err = e.stream.Write(append(encoded, '\n'))
	return err
}

// Import stores the rows of a stream that [Vault.Export] wrote. It reads r twice, from
// its current position: first it verifies the entire stream and every row in it, and
// then it stores one tenant at a time.
//
// The error is [ErrConflict] if a tenant of the stream exists already, or is created
// meanwhile; [keyring.ErrTampered] or [keyring.ErrMalformed] if the stream was edited
// or truncated; [keyring.ErrNoKey] if the keyring does not have its KEKs; the error
// of r; or one of the storage and key service errors of the package comment. If the
// error occurs while Import stores rows, the tenants that the report counts are
// stored, and the next one may be; otherwise nothing is.
func (v *Vault) Import(ctx context.Context, r io.ReadSeeker) (ExportReport, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return ExportReport{}, fmt.Errorf("importing: %w", err)
	}
	_, err = v.importFrom(ctx, r, v.checkTenant)
	if err == nil {
		_, err = r.Seek(start, io.SeekStart)
	}
	var report ExportReport
	if err == nil {
		report, err = v.importFrom(ctx, r, v.storeTenant)
	}
	if err != nil {
		return report, fmt.Errorf("importing: %w", err)
	}
	return report, nil
}

// tenantRows has the stored rows of a tenant.
type tenantRows struct {
	tenant string
	keys   []keyring.Record
	scopes []exportScope
	audit  []store.AuditRow
}

// importFrom calls take for each tenant of a stream.
func (v *Vault) importFrom(ctx context.Context, r io.Reader, take func(context.Context, *tenantRows) error) (ExportReport, error) {
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
		case l.Audit != nil && rows != nil:
			rows.audit = append(rows.audit, *l.Audit)
		case l.End != "" && rows != nil && l.End == rows.tenant:
			if err := take(ctx, rows); err != nil {
				return report, fmt.Errorf("tenant %s: %w", clip(rows.tenant), err)
			}
			report.Tenants++
			report.AuditEntries += len(rows.audit)
			for _, s := range rows.scopes {
				report.count(s)
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
		if err := CheckScope(s.Scope); err != nil || store.Tenant(s.Scope) != rows.tenant {
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
			return err
		}
	}
	return audit.Check(ctx, rows.tenant, all.key, rows.audit)
}

// state returns the rows that the seal of s covers.
func (s *exportScope) state() store.ScopeState {
	st := store.ScopeState{Scope: s.Scope, Seal: s.Seal}
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

// checkAll opens every version and checks every token of the scope.
func (st *state) checkAll(ctx context.Context, s *exportScope) error {
	for _, h := range s.History {
		for _, row := range h.Versions {
			if row.Scope != s.Scope || row.Name != h.Name {
				return fmt.Errorf("%w: a version of the export is out of place", keyring.ErrTampered)
			}
			if err := st.checkSecret(ctx, row); err != nil {
				return err
			}
			if row.Hidden {
				continue
			}
			plain, err := st.openSecret(ctx, purposeSecrets, row, row.Message)
			if err != nil {
				return err
			}
			clear(plain)
		}
	}
	for _, row := range s.Tokens {
		if row.Scope != s.Scope {
			return fmt.Errorf("%w: a token of the export is out of place", keyring.ErrTampered)
		}
		if err := st.checkToken(ctx, row); err != nil {
			return err
		}
	}
	return nil
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
		for _, t := range s.Tokens {
			if !t.LastUsed.IsZero() {
				uses = append(uses, store.Usage{Token: t.ID, Time: t.LastUsed, Addr: t.LastAddr, Runner: t.LastRunner})
			}
		}
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
