package vault

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
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
	// Documents is the number of documents, such as administrators.
	Documents int
	// AuditEntries is the number of audit entries.
	AuditEntries int
}

// ExportOptions configure [Vault.Export]. The zero value of each field means its
// default.
type ExportOptions struct {
	// Skip names tenants to leave out, such as those that an earlier call reported as
	// damaged, each as it is or as in that report. Default: none.
	Skip []string
}

// Export writes the vault to w as one sealed stream: key records, all versions of
// secrets, tokens, documents that have not expired, and audit chains, but not the secrets
// that integrations minted. It verifies every row that it writes and opens every data key,
// but decrypts no value. Importing the stream requires a keyring with the KEKs of this
// vault's keyring. opts may be nil.
//
// Export reads each scope as one consistent snapshot, and the vault can be used
// meanwhile. Import refuses a truncated stream, so w needs no protection against
// that. The caller closes w.
//
// If a tenant is damaged, or its data key cannot be opened, the stream stays incomplete:
// Export verifies the other tenants, and the error, a [*bundle.Fault], names all that it
// found. A second call with [ExportOptions].Skip exports the rest. On error, the report
// counts the rows written so far. The error is [ErrInvalid] if Skip names a tenant that is
// not stored; that of w; or one of the storage, key service and integrity errors of the
// package comment.
func (v *Vault) Export(ctx context.Context, w io.Writer, opts *ExportOptions) (ExportReport, error) {
	if opts == nil {
		opts = &ExportOptions{}
	}
	report, err := v.export(ctx, w, opts.Skip)
	if err != nil {
		return report, fmt.Errorf("exporting: %w", v.logRefusal(ctx, err))
	}
	return report, nil
}

func (v *Vault) export(ctx context.Context, w io.Writer, skip []string) (ExportReport, error) {
	var report ExportReport
	names, err := v.tenantsExcept(ctx, skip)
	if err != nil {
		return report, err
	}
	out, err := v.newExport(ctx, w)
	if err != nil {
		return report, err
	}
	defer out.key.Destroy()
	var failures []error
	for _, tenant := range names {
		err := v.exportTenant(ctx, tenant, out, &report)
		if err == nil {
			continue
		}
		failures = append(failures, fmt.Errorf("tenant %s: %w", nameOf(tenant), err))
		if !isLocal(err) {
			return report, errors.Join(failures...)
		}
		out.incomplete = true
	}
	if len(failures) > 0 {
		err := errors.Join(failures...)
		return report, &bundle.Fault{
			Problem: "some tenants are damaged, so the export is incomplete: " + strings.ReplaceAll(err.Error(), "\n", "; "),
			Setting: "vault.ExportOptions.Skip", Fix: "repair them, or export the others with {vault.ExportOptions.Skip}", Err: err,
		}
	}
	return report, out.stream.Close()
}

// tenantsExcept returns the tenants of the store, and store.Platform if it has rows,
// without those in skip.
func (v *Vault) tenantsExcept(ctx context.Context, skip []string) ([]string, error) {
	var all []string
	for tenant, err := range tenants(ctx, v.storage) {
		if err != nil {
			return nil, &outage{err}
		}
		all = append(all, tenant)
	}
	for _, name := range skip {
		if !slices.ContainsFunc(all, skips(name)) {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, &bundle.Fault{
				Problem: fmt.Sprintf("{vault.ExportOptions.Skip} names the tenant %s, which is not stored", clip(name)), Setting: "vault.ExportOptions.Skip",
			})
		}
	}
	for _, name := range skip {
		all = slices.DeleteFunc(all, skips(name))
	}
	return all, nil
}

// skips returns a function that reports whether a name to skip means a tenant.
func skips(name string) func(tenant string) bool {
	return func(tenant string) bool { return name == tenant || name == nameOf(tenant) }
}

// exportLine is one line of the stream's plaintext. Exactly one of its fields is set.
type exportLine struct {
	Tenant string          `json:"tenant,omitempty"` // begins a tenant
	Key    keyring.Record  `json:"key,omitempty"`
	Scope  *exportScope    `json:"scope,omitempty"`
	Doc    *store.Doc      `json:"doc,omitempty"` // no seal covers it
	Audit  *store.AuditRow `json:"audit,omitempty"`
	End    string          `json:"end,omitempty"` // ends a tenant
}

// exportScope has the stored rows of a scope.
type exportScope struct {
	Scope   string
	Seal    []byte
	History []store.NameHistory
	Tokens  []store.TokenRow
	Docs    []store.Doc // those that the seal covers
}

// exportTenant verifies the rows of a tenant and writes them.
func (v *Vault) exportTenant(ctx context.Context, tenant string, out *exporter, report *ExportReport) error {
	scopes, err := v.storage.Scopes(ctx, tenant)
	if err != nil {
		return &outage{fmt.Errorf("reading from storage: %w", err)}
	}
	if err := out.writeLine(exportLine{Tenant: tenant}); err != nil {
		return err
	}
	var failures []error
	for _, scope := range scopes {
		s, err := v.verifiedScope(ctx, scope)
		if err == nil && s.Seal != nil {
			err = out.writeLine(exportLine{Scope: s})
		}
		if err == nil {
			err = v.exportLoose(ctx, scope, out, report)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("scope %s: %w", clip(scope), err))
			if !isLocal(err) {
				return errors.Join(failures...)
			}
			continue
		}
		if s.Seal != nil {
			report.count(s)
		}
	}
	st, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return errors.Join(append(failures, err)...)
	}
	defer st.close()
	entries := 0
	for row, err := range v.audit.Rows(ctx, tenant, v.keyFinder(st)) {
		entries++
		if err == nil {
			err = out.writeLine(exportLine{Audit: &row})
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("audit chain: %w", err))
			if !isLocal(err) {
				return errors.Join(failures...)
			}
			break
		}
		report.AuditEntries++
	}
	if entries == 0 {
		if err := st.checkUnaudited(); err != nil {
			failures = append(failures, err)
		}
	}
	// Keys come last: data keys are never removed, so those of the rows above are
	// among them.
	keys, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return errors.Join(append(failures, err)...)
	}
	defer keys.close()
	for _, record := range keys.Keys {
		if err := keys.openRecord(ctx, record); err != nil {
			return errors.Join(append(failures, err)...)
		}
		if err := out.writeLine(exportLine{Key: record}); err != nil {
			return errors.Join(append(failures, err)...)
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	report.Tenants += tenantsIn(tenant)
	return out.writeLine(exportLine{End: tenant})
}

// openRecord checks that a data key of st can be opened.
func (st *state) openRecord(ctx context.Context, record keyring.Record) error {
	id, err := record.ID()
	if err != nil {
		return err
	}
	_, err = st.key(ctx, id)
	return err
}

// verifiedScope reads the rows of a scope and verifies each of them. Without a seal, the
// scope has nothing but documents that no seal covers.
func (v *Vault) verifiedScope(ctx context.Context, scope string) (*exportScope, error) {
	if scope != store.Platform && CheckScope(scope) != nil {
		return nil, fmt.Errorf("%w: it is not a valid scope", keyring.ErrTampered)
	}
	st, err := v.read(ctx, store.Query{Scope: scope, History: true, Tokens: true, Minted: true})
	if err != nil {
		return nil, err
	}
	defer st.close()
	s := &exportScope{Scope: scope, Seal: st.scope().Seal, History: st.History, Tokens: st.Tokens, Docs: st.scope().Docs}
	if s.Seal == nil && len(st.History)+len(st.scope().Minted) > 0 {
		return nil, fmt.Errorf("%w: the scope has rows, but its seal is missing", keyring.ErrTampered)
	}
	if err := st.checkAll(ctx, s); err != nil {
		return nil, err
	}
	for _, h := range s.History {
		for i := range h.Versions {
			dropBadNotes(&h.Versions[i])
		}
	}
	for i := range s.Tokens {
		dropBadTokenNotes(&s.Tokens[i])
	}
	return s, nil
}

// checkAll checks every version, every token and every sealed document of a scope.
func (st *state) checkAll(ctx context.Context, s *exportScope) error {
	for _, h := range s.History {
		if bundle.CheckName(h.Name) != nil {
			return fmt.Errorf("%w: %s is not a name of a secret", keyring.ErrTampered, clip(h.Name))
		}
		if !isNumber(h.Last) {
			return fmt.Errorf("%w: the highest version number of secret %s is %d", keyring.ErrTampered, clip(h.Name), h.Last)
		}
		if h.Active != 0 && !slices.ContainsFunc(h.Versions, func(row store.SecretRow) bool { return row.Version == h.Active }) {
			return fmt.Errorf("%w: the active version of secret %s is %d, which is not stored", keyring.ErrTampered, clip(h.Name), h.Active)
		}
		for _, row := range h.Versions {
			if row.Scope != s.Scope || row.Name != h.Name || row.Version < 1 || row.Version > h.Last {
				return fmt.Errorf("%w: a version of secret %s is out of place", keyring.ErrTampered, clip(h.Name))
			}
			if err := st.checkSecret(ctx, row); err != nil {
				return fmt.Errorf("secret %s: %w", clip(h.Name), err)
			}
		}
	}
	for i := range s.Docs {
		if err := st.checkDoc(ctx, &s.Docs[i]); err != nil {
			return err
		}
	}
	for _, row := range s.Tokens {
		if row.Scope != s.Scope {
			return fmt.Errorf("%w: a token is out of place", keyring.ErrTampered)
		}
		if err := st.checkToken(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// exportLoose verifies the documents of an owner that no seal covers and that have not
// expired, and writes them.
func (v *Vault) exportLoose(ctx context.Context, owner string, out *exporter, report *ExportReport) error {
	if !hasLoose() {
		return nil
	}
	st, err := v.read(ctx, store.Query{Scope: owner})
	if err != nil {
		return err
	}
	defer st.close()
	return v.eachLoose(ctx, st, func(rows []store.Doc) error {
		for i := range rows {
			row := &rows[i]
			if expires := row.Expires; !expires.IsZero() && !time.Now().Before(expires) {
				continue
			}
			if err := st.checkDoc(ctx, row); err != nil {
				return err
			}
			if err := out.writeLine(exportLine{Doc: row}); err != nil {
				return err
			}
			report.Documents++
		}
		return nil
	})
}

func (r *ExportReport) count(s *exportScope) {
	r.Scopes++
	r.Documents += len(s.Docs)
	r.Tokens += len(s.Tokens)
	for _, h := range s.History {
		r.Versions += len(h.Versions)
	}
}

// exporter writes lines to a sealed stream.
type exporter struct {
	key        *keyring.DataKey
	stream     io.WriteCloser
	incomplete bool // the stream lacks a tenant, so nothing more is written
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
	if e.incomplete {
		return nil
	}
	encoded, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encoding a row: %w", err)
	}
	_, err = e.stream.Write(append(encoded, '\n'))
	return err
}
