package vault

import (
	"time"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/store"
)

// Last uses and the authors of tokens are notes: no MAC covers them. A note that the vault
// cannot have written is dropped before it is shown or exported, so that it neither
// spoils an answer, since JSON has no years after 9999, nor keeps another store from
// importing the tenant.

// dropBadNotes drops the notes of a row of a secret that the vault cannot have written.
func dropBadNotes(r *store.SecretRow) {
	if !isNoteTime(r.LastUsed) || checkText("", r.LastToken, wire.MaxRunner) != nil {
		r.LastUsed, r.LastToken = time.Time{}, ""
	}
}

// dropBadTokenNotes is dropBadNotes for a token.
func dropBadTokenNotes(t *store.TokenRow) {
	if !isNoteTime(t.LastUsed) || checkText("", t.LastAddr, maxAddr) != nil || checkText("", t.LastRunner, wire.MaxRunner) != nil {
		t.LastUsed, t.LastAddr, t.LastRunner = time.Time{}, "", ""
	}
	if checkText("", t.Author, maxActor) != nil {
		t.Author = ""
	}
}

// isNoteTime reports whether t can be a time of last use.
func isNoteTime(t time.Time) bool { return checkTime("", t) == nil }
