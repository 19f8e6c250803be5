package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

const (
	maxDocKey  = 256
	maxDocBody = 64 << 10
)

// docName is the name of a document in its scope's seal and in the context of its body.
// A space contains no slash, so names are unique.
func docName(d *store.Doc) string { return d.Space + "/" + d.Key }

func docContext(d *store.Doc) keyring.Context {
	return keyring.Context{"name": docName(d), "version": strconv.FormatInt(d.Version, 10)}
}

// docMAC returns the MAC of a document.
func docMAC(d *store.Doc, key *keyring.DataKey) ([32]byte, error) {
	var b []byte
	b = appendLP(b, d.Owner)
	b = appendLP(b, d.Space)
	b = appendLP(b, d.Key)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Version))
	b = appendTime(b, d.Expires)
	sum := sha256.Sum256(d.Body)
	b = append(b, sum[:]...)
	return key.MAC(labelDoc, b)
}

// authenticateDoc sets KeyID and MAC of d. All other fields must be set.
func authenticateDoc(d *store.Doc, key *keyring.DataKey) error {
	d.KeyID = key.ID()
	var err error
	d.MAC, err = docMAC(d, key)
	return err
}

// sealDoc returns the row of a document.
func sealDoc(owner, in string, d document, key *keyring.DataKey) (store.Doc, error) {
	kind, ok := spaces[in]
	if !ok {
		return store.Doc{}, fmt.Errorf("%w: there is no space %s", ErrInvalid, clip(in))
	}
	if err := checkDocument(&d); err != nil {
		return store.Doc{}, err
	}
	row := store.Doc{Owner: owner, Space: in, Key: d.key, Version: d.version, Expires: stored(d.expires), Sealed: kind.sealed, Body: d.body}
	if kind.secret {
		if err := sealDocBody(&row, key, d.body); err != nil {
			return store.Doc{}, err
		}
	}
	return row, authenticateDoc(&row, key)
}

// sealDocBody encrypts plain as the body of d.
func sealDocBody(d *store.Doc, key *keyring.DataKey, plain []byte) error {
	group, err := key.Group(groupContext(purposeDocuments, d.Owner))
	if err != nil {
		return err
	}
	d.Body, err = group.Seal(nil, plain, docContext(d))
	return err
}

// checkDoc verifies the MAC of row, its version and that its flag is that of its space.
func (st *state) checkDoc(ctx context.Context, row *store.Doc) error {
	if !isNumber(row.Version) || row.Version == 0 {
		return fmt.Errorf("%w: document %s has version %d", keyring.ErrTampered, clip(docName(row)), row.Version)
	}
	if kind, ok := spaces[row.Space]; ok && kind.sealed != row.Sealed {
		return fmt.Errorf("%w: the flag of document %s, whether a seal covers it, was changed", keyring.ErrTampered, clip(docName(row)))
	}
	genuine, err := st.genuine(ctx, row.KeyID, row.MAC, func(key *keyring.DataKey) ([32]byte, error) { return docMAC(row, key) })
	if err == nil && !genuine {
		err = fmt.Errorf("%w: document %s was changed after it was written", keyring.ErrTampered, clip(docName(row)))
	}
	return err
}

// openDoc verifies row and returns its content.
func (st *state) openDoc(ctx context.Context, row store.Doc) (document, error) {
	if err := st.checkDoc(ctx, &row); err != nil {
		return document{}, err
	}
	d := document{key: row.Key, version: row.Version, expires: row.Expires, body: row.Body}
	if !spaces[row.Space].secret {
		return d, nil
	}
	var err error
	if d.body, err = st.openMessage(ctx, groupContext(purposeDocuments, row.Owner), row.Body, docContext(&row)); err != nil {
		return document{}, fmt.Errorf("document %s: %w", clip(docName(&row)), err)
	}
	return d, nil
}

// moveDoc returns row under key, with the same version.
func (st *state) moveDoc(ctx context.Context, row store.Doc, key *keyring.DataKey) (store.Doc, error) {
	if row.KeyID == key.ID() {
		return row, nil
	}
	d, err := st.openDoc(ctx, row)
	if err != nil {
		return row, err
	}
	if spaces[row.Space].secret {
		err = sealDocBody(&row, key, d.body)
		clear(d.body)
		if err != nil {
			return row, err
		}
	}
	return row, authenticateDoc(&row, key)
}
