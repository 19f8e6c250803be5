package github

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// minKeyBits is the size of the smallest key. GitHub's have 2048.
const minKeyBits = 2048

// ParseKey parses the private key file of a GitHub App: PEM with an RSA key of at
// least 2048 bits, as PKCS #1 or PKCS #8, not encrypted. The returned signer never
// prints its key. Errors are a permanent [*bundle.FetchError] and contain no part
// of the file.
func ParseKey(file bundle.Value) (crypto.Signer, error) {
	const where = "key of the GitHub App: "
	fail := func(what, fix string) (crypto.Signer, error) {
		return nil, remote.Permanent(&bundle.Fault{Problem: where + what, Fix: fix})
	}
	text := file.Reveal()
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil && strings.Contains(text, `\n`):
		return fail(`it has \n in place of line breaks`, "replace each with a line break")
	case block == nil:
		return fail("no PEM block found", "provide the complete file, from -----BEGIN to the end of the last line")
	case strings.TrimSpace(string(rest)) != "":
		return fail("data after the key", "provide a file with the key only")
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return fail("it is encrypted", "decrypt it first")
	}
	var parsed any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return fail("it is not a private key", "provide the private key file from the app's settings")
	}
	key, isRSA := parsed.(*rsa.PrivateKey)
	switch {
	case err != nil:
		return fail("invalid key", "copy the complete file again")
	case !isRSA:
		return fail("it is not an RSA key", "GitHub accepts RSA keys only; use the file from GitHub")
	}
	if err := checkPublicKey(&key.PublicKey); err != nil {
		return nil, err
	}
	return &githubKey{public: &key.PublicKey, sign: key.Sign}, nil
}

// githubKey keeps its key in a function value, because packages that print,
// compare and dump values read fields by reflection.
type githubKey struct {
	public *rsa.PublicKey
	sign   func(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// Public implements [crypto.Signer].
func (k *githubKey) Public() crypto.PublicKey { return k.public }

// Sign implements [crypto.Signer].
func (k *githubKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.sign(random, digest, opts)
}

// publicKey validates Key and returns its public key.
func (g *App) publicKey() (*rsa.PublicKey, error) {
	if key, ok := g.Key.(*rsa.PrivateKey); g.Key == nil || ok && (key == nil || key.N == nil) {
		return nil, remote.Permanent(&bundle.Fault{Problem: "key of the GitHub App: {github.App.Key} is not set", Setting: "github.App.Key", Fix: "set it, for example with ParseKey"})
	}
	public, ok := g.Key.Public().(*rsa.PublicKey)
	if !ok {
		return nil, remote.Permanent(&bundle.Fault{Problem: "key of the GitHub App: it is not an RSA key", Setting: "github.App.Key", Fix: "GitHub accepts RSA keys only"})
	}
	return public, checkPublicKey(public)
}

func checkPublicKey(public *rsa.PublicKey) error {
	if bits := public.N.BitLen(); bits < minKeyBits {
		return remote.Permanent(&bundle.Fault{Problem: fmt.Sprintf("key of the GitHub App: it has %d bits", bits), Setting: "github.App.Key", Fix: fmt.Sprintf("use one of at least %d", minKeyBits)})
	}
	return nil
}

// fingerprint returns the fingerprint that GitHub displays for an app's key: the
// SHA-256 of its public half as PKIX DER.
func fingerprint(public *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "unknown"
	}
	sum := sha256.Sum256(der)
	return "SHA256:" + base64.StdEncoding.EncodeToString(sum[:])
}

// claims are the claims of the JSON web token that authenticates the app.
type claims struct {
	Issued  int64  `json:"iat"` // in seconds since 1970
	Expires int64  `json:"exp"`
	Issuer  string `json:"iss"`
}

// GitHub rejects a token that was issued in the future, has expired, or expires in
// more than ten minutes. These values tolerate a clock that is up to a minute ahead
// or eight minutes behind.
const (
	issuedAgo    = time.Minute
	expiresAfter = 8 * time.Minute
	maxExpires   = 10 * time.Minute
)

func (g *App) claims(now time.Time) claims {
	return claims{Issued: now.Add(-issuedAgo).Unix(), Expires: now.Add(expiresAfter).Unix(), Issuer: g.AppID}
}

// countAt reports whether the claims are valid at a time.
func (c claims) countAt(clock time.Time) bool {
	now := clock.Unix()
	return c.Issued <= now && now < c.Expires && c.Expires-now <= int64(maxExpires/time.Second)
}

// sign returns the JSON web token (RFC 7519) of claims, by RS256.
func (g *App) sign(c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("github: claims are not JSON: %v", err))
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := g.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", remote.PassedOn("signing with the key of the GitHub App", err)
	}
	return signed + "." + encode(signature), nil
}
