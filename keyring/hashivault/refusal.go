package hashivault

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/satchelhq/satchel/keyring"
)

// Vault reports most failures of encrypt and decrypt with status 400 and a text. The
// first of these strings that the text contains determines the class. Tests against a
// real server verify them.
var texts = []struct {
	contains string
	class    error
	meaning  string
}{
	{"message authentication failed", keyring.ErrTampered, "the ciphertext is of another key, or was wrapped under another context"},
	{"invalid ciphertext", keyring.ErrTampered, "the ciphertext is of another key"},
	{"encryption key not found", keyring.ErrNoKey, "the transit engine has no such key; create it"},
	{"unknown key type", keyring.ErrNoKey, "the transit engine has no such key; create it"}, // the response to noType
	{"disallowed by policy (too old)", keyring.ErrKeyState, "the version that wrapped is below the key's min_decryption_version; lower that"},
	{"for non-AEAD cipher suite", keyring.ErrKeyState, badType},
	{"not supported for key type", keyring.ErrKeyState, badType},
	{"for key derivation", keyring.ErrKeyState, "the key is derived; create one without derived=true"},
}

const badType = "keys of this type cannot bind a context; create one of type aes256-gcm96, aes128-gcm96 or chacha20-poly1305"

// foreign explains a response with a status other than 200 that is not an error of
// Vault. It may come from a proxy, whose status says nothing about the key or the token.
// Vault itself sends redirects and, from engines other than transit, successes without a
// body.
func foreign(status int) string {
	switch {
	case status < 300:
		return fmt.Sprintf("status %d without data; check that a transit engine is at this mount, and any proxy between this machine and Vault", status)
	case status < 400:
		return fmt.Sprintf("status %d: redirects are not followed; use the address of the active node", status)
	}
	return fmt.Sprintf("status %d, not an error of Vault; check the address and any proxy between this machine and Vault", status)
}

// refusal returns the error for Vault's own error, with a status other than 200. It
// does not quote the response, because Vault's texts may repeat the request.
func (k *KEK) refusal(operation string, status int, said []string) error {
	meaning, class := classOf(status, strings.Join(said, "\n"))
	return fmt.Errorf("%w: %s: status %d: %s", class, k.path(operation), status, meaning)
}

// classOf returns the meaning of a status and a text, and their class.
func classOf(status int, said string) (meaning string, class error) {
	switch {
	case status == http.StatusServiceUnavailable:
		return "Vault is sealed or not ready", keyring.ErrUnavailable
	case status >= 500, status == http.StatusPreconditionFailed, status == http.StatusTooManyRequests, status == 472, status == 473:
		return "Vault is temporarily unavailable", keyring.ErrUnavailable
	case status < 400:
		return "unexpected status of an error", keyring.ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "the token is invalid, or its policy lacks update on this path", keyring.ErrDenied
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "no transit engine at this mount", keyring.ErrNoKey
	}
	for _, t := range texts {
		if status == http.StatusBadRequest && strings.Contains(said, t.contains) {
			return t.meaning, t.class
		}
	}
	// A retry gives the same result, and the status is no evidence of tampering.
	return "request rejected; see the log of Vault", keyring.ErrKeyState
}
