package github_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// signer is a key in a key service.
type signer struct {
	public crypto.PublicKey
	err    error
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("canary-signature"), s.err
}

var weakKey = signer{public: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}}

func encodeKey(t *testing.T, kind string, key any) string {
	t.Helper()
	var der []byte
	var err error
	if kind == "RSA PRIVATE KEY" {
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	} else {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestParseKey(t *testing.T) {
	t.Run("reads a file from GitHub", func(t *testing.T) {
		for _, kind := range []string{"RSA PRIVATE KEY", "PRIVATE KEY"} {
			key, err := github.ParseKey(bundle.NewValue(encodeKey(t, kind, appKey()) + "\n"))
			require.NoError(t, err)
			require.Equal(t, &appKey().PublicKey, key.Public())

			s, app := gitHub(t)
			app.Key = key
			_, err = app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.Len(t, s.Mints(), 1, "its signature is valid")
		}
	})

	t.Run("rejects other files without quoting them", func(t *testing.T) {
		good := encodeKey(t, "RSA PRIVATE KEY", appKey())
		certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("canary")}))
		encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,canary"}, Bytes: []byte("canary")})
		for name, row := range map[string]struct{ file, want string }{
			"nothing":              {"", "no PEM block found; provide the complete file"},
			"a path":               {"/run/secrets/canary.pem", "no PEM block found"},
			"a part":               {good[:len(good)-60], "no PEM block found"},
			"one line":             {strings.ReplaceAll(good, "\n", `\n`), `it has \n in place of line breaks`},
			"two keys":             {good + good, "data after the key"},
			"a certificate":        {certificate, "it is not a private key"},
			"an encrypted key":     {string(encrypted), "it is encrypted; decrypt it first"},
			"an encrypted PKCS #8": {strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("canary")})), "\r", ""), "it is encrypted"},
			"another name":         {strings.ReplaceAll(good, "RSA PRIVATE", "PRIVATE"), "invalid key"},
			"garbage":              {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary")})), "invalid key; copy the complete file again"},
			"an elliptic curve":    {encodeKey(t, "PRIVATE KEY", ecKey(t)), "it is not an RSA key; GitHub accepts RSA keys only"},
		} {
			t.Run(name, func(t *testing.T) {
				key, err := github.ParseKey(bundle.NewValue(row.file))
				require.Nil(t, key)
				remotetest.RequireKind(t, err, bundle.FetchPermanent)
				require.ErrorContains(t, err, "key of the GitHub App: "+row.want)
				require.NotContains(t, err.Error(), "canary")
			})
		}
	})

	t.Run("returns a key that does not print", func(t *testing.T) {
		key, err := github.ParseKey(bundle.NewValue(encodeKey(t, "RSA PRIVATE KEY", appKey())))
		require.NoError(t, err)
		inside := []string{appKey().D.String(), appKey().D.Text(16), appKey().Primes[0].String(), appKey().Primes[0].Text(16)}
		silent := func(how, shown string) {
			for _, part := range inside {
				require.False(t, strings.Contains(strings.ToLower(shown), part), "the key is shown by %s", how)
			}
		}
		app := appOf("", nil)
		app.Key = key
		held := struct {
			key crypto.Signer
			app *github.App
		}{key, app}
		for _, v := range []any{key, app, held, *app} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				silent(fmt.Sprintf("%s of a %T", verb, v), fmt.Sprintf(verb, v))
			}
			encoded, _ := json.Marshal(v)
			silent("JSON", string(encoded))
			var diff recorder // which dumps all fields by reflection
			assert.Equal(&diff, v, reflect.Zero(reflect.TypeOf(v)).Interface())
			require.Contains(t, string(diff), "Diff:")
			silent("a diff of testify", string(diff))
		}

		app.Key = appKey()
		//lint:ignore SA1026 the client, which JSON could not hold, is nil
		encoded, err := json.Marshal(app)
		require.NoError(t, err)
		silent("JSON of an app that has it bare", string(encoded)+fmt.Sprintf("%v %+v %#v", app, app, app))
	})
}

// recorder records the message of an assertion.
type recorder string

func (r *recorder) Errorf(format string, args ...any) { *r += recorder(fmt.Sprintf(format, args...)) }

func TestApp_Key(t *testing.T) {
	t.Run("keeps the kind of a key service's error", func(t *testing.T) {
		down := errors.New("the key service does not respond")
		for _, row := range []struct {
			err  error
			want bundle.FetchError
		}{
			{down, bundle.FetchError{Kind: bundle.FetchUnavailable}},
			{&bundle.FetchError{Kind: bundle.FetchPermanent, Err: down}, bundle.FetchError{Kind: bundle.FetchPermanent}},
			{&bundle.FetchError{RetryAfter: time.Minute, Err: down}, bundle.FetchError{RetryAfter: time.Minute}},
		} {
			app := appOf("https://api.github.com", remotetest.RefuseDial(t))
			app.Key = signer{&appKey().PublicKey, row.err}
			_, err := app.Fetch(t.Context(), nil)
			remotetest.RequireKind(t, err, row.want.Kind)
			failure, _ := errors.AsType[*bundle.FetchError](err)
			require.Equal(t, row.want.RetryAfter, failure.RetryAfter)
			require.ErrorIs(t, err, down)
			require.ErrorContains(t, err, "signing with the key of the GitHub App: ")

			_, items := app.Check(t.Context())
			remotetest.RequireFixes(t, items)
			require.Contains(t, remotetest.Item(t, items, "key of the GitHub App").Detail, "the key service does not respond")
		}
	})

	// The fingerprint was made by
	//
	//	openssl rsa -in key.pem -pubout -outform DER | openssl sha256 -binary | openssl base64
	//
	// as GitHub's documentation describes.
	t.Run("names a rejected key by GitHub's fingerprint", func(t *testing.T) {
		block, _ := pem.Decode([]byte(`-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoVTkKj9ptg1mWgt0hu5T
ad/dvD5VGiSa4IoL/uE9pRnoKrh21lq27d32RAIgikghyjKMmJkpY4qywgZwu6J/
n75j0JneW0f+c22v/8SGljkfERAKI4IFTNEfzEH2X9NLv9McbZw83GeIF/9cZ+5S
SpmHBaer1T1uPNWJ/ysUOWRSx1p3/QVyTyK1HB6/xX9xAofy3+q7vu2aBTrK+Dz2
PMSd0PzGrnGc20qGuXigwNrlnC6UYcMKs/C2fu45916GUcMEMXVQnTYL0PAH4GzU
DYqenUASfPbphPgwMK5h7rica2e6rhzW6G06MZehaVp2Ux386DQm5yBNQt+R0Lnf
vQIDAQAB
-----END PUBLIC KEY-----`))
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		require.NoError(t, err)
		_, app := gitHub(t)
		app.Key = signer{public: public}
		_, err = app.Fetch(t.Context(), nil)
		require.Equal(t, "app-key", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 401).Reason)
		require.ErrorContains(t, err, "SHA256:pcr/6pRB1fO3KxNegL05/AodYULUFmh3qcGUGMmmzdw=")
	})

	t.Run("rejects a replaced key", func(t *testing.T) {
		s, app := gitHub(t)
		_, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)

		s.SetKeys(testApp, &nextAppKey().PublicKey)
		_, err = app.Fetch(t.Context(), nil)
		status := remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 401)
		require.Equal(t, "app-key", status.Reason)
		require.ErrorContains(t, err, "the app "+testApp+" does not have the key SHA256:")

		app = appOf(app.URL, app.Client)
		app.Key = nextAppKey()
		_, err = app.Fetch(t.Context(), nil)
		require.NoError(t, err)
	})
}
