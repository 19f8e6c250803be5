package store

import "time"

// Platform is the owner of documents that belong to no tenant. It is like a tenant with
// one scope of the same name: it has data keys, a seal and an audit chain. No scope can
// have this name, because a segment of a scope does not begin with an underscore.
const Platform = "_platform"

// Doc is a document: a generic row for whatever is neither a secret nor a token. The MAC
// covers the fields above it, except KeyID and Sealed.
type Doc struct {
	// Owner is the scope that the document belongs to, or [Platform].
	Owner string
	// Space is the kind of the document. It contains no slash.
	Space string
	// Key identifies the document within its owner and space. It is not empty.
	Key string
	// Version is at least 1. A change expects the stored version; see [DocChange].
	Version int64
	// Expires is the time from which the document has no effect, or zero.
	Expires time.Time
	// Sealed means that the seal of the owner's scope covers the document.
	Sealed bool
	// Body is the content. It is an SKM message of docs/format.md if the content is
	// secret.
	Body []byte
	// KeyID identifies the data key of MAC and of an encrypted Body.
	KeyID [16]byte
	// MAC authenticates the row.
	MAC [32]byte
}

// DocChange inserts, replaces or removes a document.
type DocChange struct {
	// Old is the expected version of the stored document; 0 means that there is no
	// document with the Owner, Space and Key of New.
	Old int64
	// New replaces the stored document. If its Version is 0, the document is removed.
	New Doc
}

// DocExpiry removes documents that have expired.
type DocExpiry struct {
	// Owner and Space select the documents.
	Owner, Space string
	// Before is later than the Expires of the documents to remove. Documents that are
	// sealed or do not expire stay.
	Before time.Time
}

// DocQuery selects documents of one owner and one space.
type DocQuery struct {
	// Owner and Space select the documents.
	Owner, Space string
	// Key selects the document with this key. If it is empty, After and Limit select
	// the documents.
	Key string
	// After selects the keys above it, in byte order.
	After string
	// Limit is the highest number of documents to return.
	Limit int
}
