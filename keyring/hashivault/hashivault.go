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
// Each call sends one request, limited by its context and the client's timeout, with
// the token and namespace that the client has at that time. Wrap sends three requests
// until one call has proved that the key binds its context. The client's retries, rate limit and
// callbacks are not used, because a keyring has replicas and its own back-off.
// Redirects are not followed, because the target would receive the data key. Behind a
// load balancer, use the address of the active node, or let the standby nodes forward
// requests, which is their default.
//
// The version of a wrapped key is the N in its prefix "vault:vN:".
type KEK struct {
	id          keyring.KEKID
	mount, name string
	// A function rather than the clients, because printing a struct by reflection
	// would show the token.
	clients func() (*api.Client, *http.Client)
	binds   atomic.Bool // the key has refused other associated data
}

// New returns the KEK for a transit key. It makes no call. mount is the path of the
// transit engine, a single name such as "transit", and keyName the name of the key.
// Each consists of ASCII letters, digits, "_", "-" and ".", and neither begins nor ends
// with "-" or ".". New fails for any other name, for a nil client, and if both together
// have more than 1,023 bytes.
//
// The ID of the KEK is {"hashivault", mount + "/" + keyName}. It contains neither the
// address nor the namespace, so that records remain valid when the server moves. Keys
// of two servers or namespaces in one keyring need different names.
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
		return nil, fmt.Errorf("hashivault key: the mount and the key name have %d bytes; at most %d are allowed", len(id.Key)-1, maxKeySize-1)
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

// checkName returns an error unless name consists of letters, digits, "_", "-" and ".",
// and neither begins nor ends with "-" or ".". Vault allows no other key names.
func checkName(label, name, example string) error {
	problem := ""
	const inside = "-."
	switch {
	case name == "":
		problem = "is empty"
	case strings.Contains(name, "/"):
		problem = `contains "/"`
	case strings.ContainsFunc(name, func(c rune) bool { return !isWord(c) && !strings.ContainsRune(inside, c) }):
		problem = `contains a character other than letters, digits, "_", "-" and "."`
	case strings.Trim(name, inside) != name:
		problem = `starts or ends with "-" or "."`
	default:
		return nil
	}
	return fmt.Errorf("hashivault key: the %s %.80q %s; write a plain name, such as %q", label, name, problem, example)
}

func isWord(c rune) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// ID returns {"hashivault", mount + "/" + keyName}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap encrypts dek under the newest version of the key. For a missing key, which is
// not created, the error wraps [keyring.ErrNoKey], or [keyring.ErrDenied] if the token
// has only the capability update. For a key that does not bind its context it wraps
// [keyring.ErrKeyState]. Other errors are those of [keyring.KEK].
func (k *KEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	encoded, err := c.Encode()
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	if !k.binds.Load() {
		if err := k.prove(ctx); err != nil {
			return keyring.WrappedKey{}, fmt.Errorf("testing that the key binds its context: %w", err)
		}
		k.binds.Store(true)
	}
	blob, version, err := k.encrypt(ctx, dek, encoded)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.id, Version: version, Blob: []byte(blob)}, nil
}

// Unwrap decrypts a result of Wrap under the same context. For another context, and
// for a ciphertext of another key, the error wraps [keyring.ErrTampered]. For a version
// below the key's min_decryption_version it wraps [keyring.ErrKeyState]. Other errors
// are those of [keyring.KEK].
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if w.KEK != k.id {
		return nil, fmt.Errorf("%w: the data key was wrapped under %.200q", keyring.ErrNoKey, w.KEK)
	}
	encoded, err := c.Encode()
	if err != nil {
		return nil, err
	}
	blob := string(w.Blob)
	if _, ok := versionOf(blob); !ok {
		return nil, fmt.Errorf("%w: not a ciphertext of the transit engine", keyring.ErrMalformed)
	}
	return k.decrypt(ctx, blob, encoded)
}

// prove returns nil if the key refuses to decrypt under other associated data than it
// encrypted with. Keyring.Check proves that it decrypts under the same data.
func (k *KEK) prove(ctx context.Context) error {
	probe := make([]byte, 32)
	rand.Read(probe)
	// Neither is the encoding of a context.
	blob, _, err := k.encrypt(ctx, probe, []byte("probe"))
	if err != nil {
		return err
	}
	_, err = k.decrypt(ctx, blob, []byte("other"))
	switch {
	case err == nil:
		return fmt.Errorf("%w: the server decrypts under different associated data; use Vault 1.13 or later", keyring.ErrKeyState)
	case errors.Is(err, keyring.ErrTampered):
		return nil
	}
	return err
}

func (k *KEK) encrypt(ctx context.Context, plaintext, associated []byte) (blob, version string, err error) {
	response, err := k.call(ctx, "encrypt", request{
		Plaintext:      plaintext,
		AssociatedData: associated,
		Type:           noType,
	})
	if err != nil {
		return "", "", err
	}
	version, ok := versionOf(response.Data.Ciphertext)
	if !ok {
		return "", "", k.strange("encrypt", "no transit ciphertext in the response")
	}
	return response.Data.Ciphertext, version, nil
}

func (k *KEK) decrypt(ctx context.Context, blob string, associated []byte) ([]byte, error) {
	response, err := k.call(ctx, "decrypt", request{Ciphertext: blob, AssociatedData: associated})
	if err != nil {
		return nil, err
	}
	if len(response.Data.Plaintext) == 0 {
		return nil, k.strange("decrypt", "no plaintext in the response")
	}
	return response.Data.Plaintext, nil
}

// versionOf returns the N of a blob "vault:vN:" and base64. It reports false for any
// other blob.
func versionOf(blob string) (version string, ok bool) {
	rest, ok := strings.CutPrefix(blob, "vault:v")
	if !ok {
		return "", false
	}
	version, encoded, ok := strings.Cut(rest, ":")
	if !ok || version == "" || len(version) > 10 || version[0] == '0' || strings.Trim(version, "0123456789") != "" {
		return "", false
	}
	// The decoder would skip newlines.
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return version, err == nil && len(data) > 0 && !strings.ContainsAny(encoded, "\r\n")
}
