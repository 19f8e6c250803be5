package hashivault

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/satchelhq/satchel/keyring"
)

// Vault answers most failures of encrypt and decrypt with status 400 and a
// text. The first of these that a text contains gives the class; tests against
// a real server pin them.
var texts = []struct {
	contains string
	class    error
	meaning  string
}{
	{"message authentication failed", keyring.ErrTampered, "the ciphertext is not this key's, or was wrapped under another context"},
	{"invalid ciphertext", keyring.ErrTampered, "the ciphertext is not this key's"},
	{"encryption key not found", keyring.ErrNoKey, "the transit engine has no such key; create it"},
	{"unknown key type", keyring.ErrNoKey, "the transit engine has no such key; create it"}, // the answer to noType
	{"disallowed by policy (too old)", keyring.ErrKeyState, "the key's min_decryption_version is above the version that wrapped; lower it"},
	{"for non-AEAD cipher suite", keyring.ErrKeyState, badType},
	{"not supported for key type", keyring.ErrKeyState, badType},
	{"for key derivation", keyring.ErrKeyState, "the key is derived; create one that is not"},
}

const badType = "keys of this type cannot bind a context; create one of type aes256-gcm96, aes128-gcm96 or chacha20-poly1305"

// refusal returns the error for an answer other than 200. It quotes nothing of
// the answer: Vault's texts may repeat what it was sent.
func (k *KEK) refusal(operation string, status int, said []string) error {
	meaning, class := classOf(status, strings.Join(said, "\n"))
	return fmt.Errorf("%w: %s: status %d: %s", class, k.path(operation), status, meaning)
}

// classOf returns what a status and a text mean, and their class.
func classOf(status int, said string) (meaning string, class error) {
	switch {
	case status == http.StatusServiceUnavailable:
		return "Vault is sealed or not ready", keyring.ErrUnavailable
	case status >= 500, status == http.StatusPreconditionFailed, status == http.StatusTooManyRequests, status == 472, status == 473:
		return "Vault cannot answer now", keyring.ErrUnavailable
	case status < 400:
		// A success without a body is an engine's that is not transit.
		if status >= 300 {
			return "the server redirects, which is not followed; use the address of the active node", keyring.ErrUnavailable
		}
		return "there is no transit engine at this mount", keyring.ErrNoKey
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "the token is not valid, or its policy lacks update on this path", keyring.ErrDenied
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "there is no transit engine at this mount", keyring.ErrNoKey
	}
	for _, t := range texts {
		if status == http.StatusBadRequest && strings.Contains(said, t.contains) {
			return t.meaning, t.class
		}
	}
	// Asking the same again brings the same answer, and it is no evidence of
	// tampering.
	return "the request is refused; the log of Vault, or of what stands before it, says why", keyring.ErrKeyState
}
