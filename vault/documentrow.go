package vault

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// docName is the name of a document in its scope's seal and in the context of its body.
// A space contains no slash, so names are unique.
func docName(d *store.Doc) string { return d.Space + "/" + d.Key }

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
