package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// active returns the active version of name in the scope.
func (st *state) active(name string) (store.SecretRow, bool) {
	for _, row := range st.scope().Secrets {
		if row.Name == name {
			return row, true
		}
	}
	return store.SecretRow{}, false
}

// secretMeta returns the canonical encoding of a row's metadata.
func secretMeta(r *store.SecretRow) []byte {
	b := encodeMeta(r.Kind, r.Delivery, r.Created, r.Rotated, r.Expires, r.Author)
	b = appendLP(b, r.Comment)
	var hosts []string
	if r.Hosts != "" {
		hosts = strings.Split(r.Hosts, ",")
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(hosts)))
	for _, host := range hosts {
		b = appendLP(b, host)
	}
	return b
}

// secretMAC returns the MAC of a version. It also protects earlier versions, which
// no seal covers.
func secretMAC(r *store.SecretRow, key *keyring.DataKey) ([32]byte, error) {
	var b []byte
	b = appendLP(b, r.Scope)
	b = appendLP(b, r.Name)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Version))
	if r.Hidden {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, part := range [][]byte{secretMeta(r), r.Message, r.Preview} {
		sum := sha256.Sum256(part)
		b = append(b, sum[:]...)
	}
	return key.MAC(labelVersion, b)
}

func secretContext(r *store.SecretRow) keyring.Context {
	return keyring.Context{"name": r.Name, "version": strconv.FormatInt(r.Version, 10)}
}

// authenticateSecret sets KeyID and MAC of r. All other fields must be set.
func authenticateSecret(r *store.SecretRow, key *keyring.DataKey) error {
	r.KeyID = key.ID()
	var err error
	r.MAC, err = secretMAC(r, key)
	return err
}

// sealSecret seals value and its preview into r and authenticates r.
func sealSecret(r *store.SecretRow, key *keyring.DataKey, value bundle.Value) error {
	var err error
	if r.Message, err = sealPart(r, key, purposeSecrets, []byte(value.Reveal())); err != nil {
		return err
	}
	if r.Preview, err = sealPart(r, key, purposePreviews, []byte(value.Preview())); err != nil {
		return err
	}
	return authenticateSecret(r, key)
}

// sealPart seals plain as a message of r.
func sealPart(r *store.SecretRow, key *keyring.DataKey, purpose string, plain []byte) ([]byte, error) {
	group, err := key.Group(groupContext(purpose, r.Scope))
	if err != nil {
		return nil, err
	}
	return group.Seal(nil, plain, secretContext(r))
}

// checkSecret verifies the MAC of row.
func (st *state) checkSecret(ctx context.Context, row store.SecretRow) error {
	genuine, err := st.genuine(ctx, row.KeyID, row.MAC, func(key *keyring.DataKey) ([32]byte, error) { return secretMAC(&row, key) })
	if err == nil && !genuine {
		err = fmt.Errorf("%w: version %d was changed after it was written", keyring.ErrTampered, row.Version)
	}
	return err
}

// apiSecret verifies row and returns its public fields. The verification is needed
// because a seal covers neither previews nor inactive rows.
func (st *state) apiSecret(ctx context.Context, row store.SecretRow, active int64) (api.Secret, error) {
	if err := st.checkSecret(ctx, row); err != nil {
		return api.Secret{}, err
	}
	dropBadNotes(&row)
	info := api.Secret{
		Scope: row.Scope, Name: row.Name, Kind: row.Kind, Version: row.Version, Active: row.Version == active, Hidden: row.Hidden,
		Created: row.Created, Rotated: row.Rotated, Expires: row.Expires, Delivery: bundle.Delivery(row.Delivery), Author: row.Author, Comment: row.Comment,
		LastUsed: row.LastUsed, LastToken: row.LastToken,
	}
	if row.Hidden {
		return info, nil
	}
	preview, err := st.openSecret(ctx, purposePreviews, row, row.Preview)
	info.Preview = string(preview)
	return info, err
}

// openSecret opens message, which is one of the two messages of row.
func (st *state) openSecret(ctx context.Context, purpose string, row store.SecretRow, message []byte) ([]byte, error) {
	plain, err := st.openMessage(ctx, groupContext(purpose, row.Scope), message, secretContext(&row))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", row.Name, err)
	}
	return plain, nil
}

// holds reports whether row's value is value.
func (st *state) holds(ctx context.Context, row store.SecretRow, value bundle.Value) (bool, error) {
	plain, err := st.openSecret(ctx, purposeSecrets, row, row.Message)
	if err != nil {
		return false, err
	}
	return bundle.NewValue(string(plain)).Equal(value), nil
}

// moveSecret returns row with its value and its preview sealed under key.
func (st *state) moveSecret(ctx context.Context, row store.SecretRow, key *keyring.DataKey) (store.SecretRow, error) {
	if err := st.checkSecret(ctx, row); err != nil {
		return row, err
	}
	next := row
	if !row.Hidden {
		for _, part := range []struct {
			purpose string
			message []byte
			to      *[]byte
		}{{purposeSecrets, row.Message, &next.Message}, {purposePreviews, row.Preview, &next.Preview}} {
			plain, err := st.openSecret(ctx, part.purpose, row, part.message)
			if err != nil {
				return row, err
			}
			*part.to, err = sealPart(&next, key, part.purpose, plain)
			clear(plain)
			if err != nil {
				return row, err
			}
		}
	}
	return next, authenticateSecret(&next, key)
}

// secretExpired reports whether r's value has expired at time t.
func secretExpired(r *store.SecretRow, t time.Time) bool {
	return !r.Expires.IsZero() && !t.Before(r.Expires)
}

// nextVersion returns the row that follows active, which is the zero row if the
// name has no active version. The caller sets kind, delivery and expiry, seals the
// value and authenticates the row.
func nextVersion(st *state, w write, name string, active *store.SecretRow) store.SecretRow {
	row := store.SecretRow{Scope: st.scope().Scope, Name: name, Version: st.Last + 1, Author: w.author, Created: w.time}
	if active.Version != 0 {
		row.Created, row.Rotated = active.Created, w.time
	}
	return row
}

// addVersion returns the plan that stores row as the newest version and drops the
// versions beyond KeepVersions.
func addVersion(row store.SecretRow) *plan {
	return &plan{Change: store.Change{
		Insert: []store.SecretRow{row},
		Prune:  []store.VersionRef{{Scope: row.Scope, Name: row.Name, Version: row.Version - KeepVersions + 1}},
	}}
}
