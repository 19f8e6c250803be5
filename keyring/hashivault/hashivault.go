package hashivault

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/vault/api"

	"github.com/satchelhq/satchel/keyring"
)

const (
	service    = "hashivault"
	maxKeySize = 1024 // of a KEKID's key
)

// A KEK is a key of a transit engine. It implements [keyring.KEK] and is safe
// for concurrent use.
//
// Each call is one request, at most as long as its context and the client's
// timeout, with the token and the namespace that the client has at that time.
// A Wrap makes three until one has shown that the key binds its context. The
// client's retries, rate limit and callbacks are not used: a keyring has its own
// way to go on. Redirects are not followed, because a data key would go where
// they lead; behind a load balancer use the address of the active node, or let
// the standby nodes forward requests, as they do by default.
//
// The version of a wrapped key is the N of its "vault:vN:".
type KEK struct {
	id          keyring.KEKID
	mount, name string
	// A function rather than the clients: whatever prints a struct by
	// reflection would show the token.
	clients func() (*api.Client, *http.Client)
	binds   atomic.Bool // the key has refused other associated data
}

// New returns the KEK of a transit key. It makes no call. The mount is the path
// at which the engine is mounted, one name such as "transit"; the key name is
// the key's own. What is not a plain name is refused.
//
// The KEK's ID is {"hashivault", mount + "/" + keyName}: neither the address nor
// the namespace is part of it, so a record outlives a move of the server. Keys
// of two servers or namespaces that one keyring uses need different names.
func New(client *api.Client, mount, keyName string) (*KEK, error) {
	if client == nil {
		return nil, errors.New("hashivault key: the client is nil")
	}
	if err := checkName("mount", mount, "transit"); err != nil {
		return nil, err
	}
	if err := checkName("key name", keyName, "satchel"); err != nil {
		return nil, err
	}
	id := keyring.KEKID{Service: service, Key: mount + "/" + keyName}
	if len(id.Key) > maxKeySize {
		return nil, fmt.Errorf("hashivault key: the mount and the key name have %d bytes, the limit is %d", len(id.Key)-1, maxKeySize-1)
	}
	own := client.CloneConfig().HttpClient // a copy that shares the transport
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &KEK{
		id:      id,
		mount:   mount,
		name:    keyName,
		clients: func() (*api.Client, *http.Client) { return client, own },
	}, nil
}

// checkName refuses what is not one plain name of letters, digits, "_", and "-"
// and "." inside it. Vault's own key names are no freer.
func checkName(what, name, example string) error {
	problem := ""
	const inside = "-."
	switch {
	case name == "":
		problem = "is empty"
	case strings.Contains(name, "/"):
		problem = `has a "/" in it`
	case strings.ContainsFunc(name, func(c rune) bool { return !isWord(c) && !strings.ContainsRune(inside, c) }):
		problem = `has a character other than letters, digits, "_", "-" and "."`
	case strings.Trim(name, inside) != name:
		problem = `starts or ends with "-" or "."`
	default:
		return nil
	}
	return fmt.Errorf("hashivault key: the %s %.80q %s; write the name alone, such as %q", what, name, problem, example)
}

func isWord(c rune) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// ID returns {"hashivault", mount + "/" + keyName}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap encrypts dek under the newest version of the key. A key that is not there
// is [keyring.ErrNoKey], and is not created; with a token that may only update,
// Vault says [keyring.ErrDenied] instead. A key that does not bind its context
// is [keyring.ErrKeyState].
func (k *KEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	encoded, err := c.Encode()
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	if !k.binds.Load() {
		if err := k.prove(ctx); err != nil {
			return keyring.WrappedKey{}, fmt.Errorf("proving that the key binds its context: %w", err)
		}
		k.binds.Store(true)
	}
	blob, version, err := k.encrypt(ctx, dek, encoded)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.id, Version: version, Blob: []byte(blob)}, nil
}

// Unwrap decrypts what Wrap returned under the same context. Another context, and
// what another key of the engine wrapped, is [keyring.ErrTampered]; a version below
// the key's min_decryption_version is [keyring.ErrKeyState].
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if w.KEK != k.id {
		return nil, fmt.Errorf("%w: it was wrapped under %.200q", keyring.ErrNoKey, w.KEK)
	}
	encoded, err := c.Encode()
	if err != nil {
		return nil, err
	}
	blob := string(w.Blob)
	if _, ok := versionOf(blob); !ok {
		return nil, fmt.Errorf("%w: it is not a ciphertext of the transit engine", keyring.ErrMalformed)
	}
	return k.decrypt(ctx, blob, encoded)
}

// prove returns nil if the key decrypts under the associated data that it
// encrypted with and no other. The keyring's own check shows the first half.
func (k *KEK) prove(ctx context.Context) error {
	probe := make([]byte, 32)
	rand.Read(probe)
	// No context has either encoding.
	blob, _, err := k.encrypt(ctx, probe, []byte("probe"))
	if err != nil {
		return err
	}
	_, err = k.decrypt(ctx, blob, []byte("other"))
	switch {
	case err == nil:
		return fmt.Errorf("%w: the server decrypts with other associated data than it encrypted with; it takes Vault 1.13 or later", keyring.ErrKeyState)
	case errors.Is(err, keyring.ErrTampered):
		return nil
	}
	return err
}

func (k *KEK) encrypt(ctx context.Context, plaintext, associated []byte) (blob, version string, err error) {
	answer, err := k.call(ctx, "encrypt", request{
		Plaintext:      plaintext,
		AssociatedData: associated,
		Type:           noType,
	})
	if err != nil {
		return "", "", err
	}
	version, ok := versionOf(answer.Data.Ciphertext)
	if !ok {
		return "", "", k.strange("encrypt", "there is no ciphertext of the transit engine in the answer")
	}
	return answer.Data.Ciphertext, version, nil
}

func (k *KEK) decrypt(ctx context.Context, blob string, associated []byte) ([]byte, error) {
	answer, err := k.call(ctx, "decrypt", request{Ciphertext: blob, AssociatedData: associated})
	if err != nil {
		return nil, err
	}
	if len(answer.Data.Plaintext) == 0 {
		return nil, k.strange("decrypt", "there is no plaintext in the answer")
	}
	return answer.Data.Plaintext, nil
}

// versionOf returns the N of "vault:vN:" and base64, and whether blob is that.
func versionOf(blob string) (version string, ok bool) {
	rest, ok := strings.CutPrefix(blob, "vault:v")
	if !ok {
		return "", false
	}
	version, encoded, ok := strings.Cut(rest, ":")
	if !ok || version == "" || len(version) > 10 || version[0] == '0' || strings.Trim(version, "0123456789") != "" {
		return "", false
	}
	// The decoder would pass over line ends.
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return version, err == nil && len(data) > 0 && !strings.ContainsAny(encoded, "\r\n")
}
