package hashivault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
)

const (
	canaryToken = "hvs.canary-token"
	canaryText  = "canary text of the server"
)

var (
	canaryKey = kmstest.DataKey
	tenant    = kmstest.Tenant
	blob      = "vault:v7:" + base64.StdEncoding.EncodeToString([]byte("nonce, ciphertext and tag"))
)

// A received is a request that a double received.
type received struct {
	path   string
	header http.Header
	body   struct {
		Plaintext      []byte `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData []byte `json:"associated_data"`
		Type           string `json:"type"`
	}
}

// A double replaces Vault in tests that need responses that a real server would not
// send. It records its requests.
type double struct {
	*httptest.Server

	mu   sync.Mutex
	seen []received
}

func newDouble(t *testing.T, respond func(w http.ResponseWriter, a received)) *double {
	t.Helper()
	d := &double{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := received{path: r.URL.RequestURI(), header: r.Header}
		data, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(data, &a.body)
		d.mu.Lock()
		d.seen = append(d.seen, a)
		d.mu.Unlock()
		respond(w, a)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *double) requests() []received {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]received(nil), d.seen...)
}

// kek returns a KEK of the double with a client that would retry.
func (d *double) kek(t *testing.T) *hashivault.KEK {
	t.Helper()
	kek, err := hashivault.New(newClient(t, d.URL), "transit", "satchel")
	require.NoError(t, err)
	return kek
}

// sends returns a function that responds with a status and a body.
func sends(status int, body string) func(http.ResponseWriter, received) {
	return func(w http.ResponseWriter, _ received) {
		if strings.HasPrefix(body, "{") {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func data(fields string) string { return `{"data":{` + fields + `},"warnings":null}` }

// unwrapFrom returns the error of Unwrap with a server that always sends one response.
func unwrapFrom(t *testing.T, status int, body string) error {
	t.Helper()
	got, err := newDouble(t, sends(status, body)).kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
	require.Error(t, err)
	require.Nil(t, got, "no key with an error")
	leaktest.NoCanary(t, err.Error(), "the error", canaries...)
	return err
}

func wrappedKey() keyring.WrappedKey {
	return keyring.WrappedKey{
		KEK:     keyring.KEKID{Service: "hashivault", Key: "transit/satchel"},
		Version: "7", Blob: []byte(blob),
	}
}

// canaries are data of requests and responses that no error may show.
var canaries = []string{canaryToken, canaryText, string(canaryKey), base64.StdEncoding.EncodeToString(canaryKey), blob}

func TestWire_StatusClasses(t *testing.T) {
	for status, want := range map[int]error{
		301: keyring.ErrUnavailable,
		307: keyring.ErrUnavailable,
		400: keyring.ErrKeyState,
		401: keyring.ErrDenied,
		403: keyring.ErrDenied,
		404: keyring.ErrNoKey,
		405: keyring.ErrNoKey,
		412: keyring.ErrUnavailable,
		413: keyring.ErrKeyState,
		429: keyring.ErrUnavailable,
		472: keyring.ErrUnavailable,
		473: keyring.ErrUnavailable,
		500: keyring.ErrUnavailable,
		502: keyring.ErrUnavailable,
		503: keyring.ErrUnavailable,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			kmstest.RequireClass(t, unwrapFrom(t, status, `{"errors":["`+canaryText+`"]}`), want)
			kmstest.RequireClass(t, unwrapFrom(t, status, `{"errors":[]}`), want)
		})
	}
}

// pages are bodies of gateways and other servers, with the media type.
var pages = map[string][2]string{
	"a page":                  {"text/html", "<html>" + canaryText},
	"a page without a type":   {"", "<html>" + canaryText},
	"nothing":                 {"", ""},
	"nothing, of JSON":        {"application/json", ""},
	"other JSON":              {"application/json", `{"message":"` + canaryText + `"}`},
	"a list":                  {"application/json", `["` + canaryText + `"]`},
	"no list of errors":       {"application/json", `{"errors":null}`},
	"errors that are no text": {"application/json", `{"errors":[{"message":"` + canaryText + `"}]}`},
	"one error":               {"application/json", `{"errors":"` + canaryText + `"}`},
	"truncated JSON":          {"application/json", `{"errors":["` + canaryText},
	"errors as text":          {"text/plain", `{"errors":["permission denied"]}`},
	"errors as a problem":     {"application/problem+json", `{"errors":["permission denied"]}`},
	"errors as a page":        {"text/html; charset=utf-8", `{"errors":["cipher: message authentication failed"]}`},
}

// The status of a response that is not Vault's says nothing about the key.
func TestWire_Gateway(t *testing.T) {
	for name, page := range pages {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{201, 204, 301, 307, 400, 401, 402, 403, 404, 405, 407, 410, 412, 413, 421, 429, 451, 472, 473, 500, 502, 503, 511, 599} {
				d := newDouble(t, func(w http.ResponseWriter, _ received) {
					w.Header().Set("Content-Type", page[0])
					w.WriteHeader(status)
					if status != http.StatusNoContent {
						_, _ = io.WriteString(w, page[1])
					}
				})
				_, err := d.kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
				kmstest.RequireClass(t, err, keyring.ErrUnavailable)
				require.ErrorContains(t, err, fmt.Sprintf("status %d", status))
				leaktest.NoCanary(t, err.Error(), "the error", canaries...)
				_, err = d.kek(t).Wrap(t.Context(), canaryKey, tenant)
				kmstest.RequireClass(t, err, keyring.ErrUnavailable)
			}
		})
	}

	t.Run("keeps cached data keys in use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gateway := newGateway()
			keys, err := keyring.New(gateway.kek(t), nil)
			require.NoError(t, err)
			key, rec, err := keys.NewKey(t.Context(), tenant)
			require.NoError(t, err)
			key.Destroy()
			open := func() error {
				key, err := keys.OpenKey(t.Context(), rec, tenant)
				if err == nil {
					key.Destroy()
				}
				return err
			}
			require.NoError(t, open())
			gateway.status.Store(http.StatusForbidden)
			time.Sleep(50 * time.Minute) // past the soft age
			require.NoError(t, open(), "a page with status 403 revokes nothing")
			gateway.status.Store(0)
			time.Sleep(time.Minute)
			require.NoError(t, open())
		})
	})
}

// A gateway before a key answers with a page while status is set. It needs no
// network, so that it works in a bubble.
type gateway struct{ status atomic.Int64 }

func newGateway() *gateway { return &gateway{} }

func (g *gateway) kek(t *testing.T) *hashivault.KEK {
	config := api.DefaultConfig()
	require.NoError(t, config.Error)
	config.Address = "http://127.0.0.1:1"
	config.HttpClient = &http.Client{Transport: g}
	client, err := api.NewClient(config)
	require.NoError(t, err)
	kek, err := hashivault.New(client, "transit", "satchel")
	require.NoError(t, err)
	return kek
}

func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	var a received
	if err := json.NewDecoder(r.Body).Decode(&a.body); err != nil {
		return nil, err
	}
	if status := int(g.status.Load()); status != 0 {
		http.Error(recorder, "<html>"+canaryText, status)
		return recorder.Result(), nil
	}
	a.path = r.URL.Path
	remembering(recorder, a)
	return recorder.Result(), nil
}

// remembering is transit with ciphertexts that contain the plaintext.
func remembering(w http.ResponseWriter, a received) {
	switch {
	case a.body.Plaintext != nil:
		sends(http.StatusOK, data(`"ciphertext":"vault:v1:`+base64.StdEncoding.EncodeToString(a.body.Plaintext)+`"`))(w, a)
	case string(a.body.AssociatedData) == "other":
		transit(w, a)
	default:
		sends(http.StatusOK, data(`"plaintext":"`+strings.TrimPrefix(a.body.Ciphertext, "vault:v1:")+`"`))(w, a)
	}
}

func TestWire_Status400Texts(t *testing.T) {
	// Texts that are hard to get from a real server; see server_test.go for others.
	for text, want := range map[string]error{
		"cipher: message authentication failed":                                 keyring.ErrTampered,
		"invalid ciphertext: no prefix":                                         keyring.ErrTampered,
		"encryption key not found":                                              keyring.ErrNoKey,
		"unknown key type none-the-key-must-exist":                              keyring.ErrNoKey,
		"ciphertext or signature version is disallowed by policy (too old)":     keyring.ErrKeyState,
		"'[0].associated_data' provided for non-AEAD cipher suite rsa-2048":     keyring.ErrKeyState,
		"message decryption not supported for key type ed25519":                 keyring.ErrKeyState,
		"missing 'context' for key derivation; the key was created using a ...": keyring.ErrKeyState,
		"something new": keyring.ErrKeyState,
	} {
		kmstest.RequireClass(t, unwrapFrom(t, http.StatusBadRequest, `{"errors":["`+text+`"]}`), want)
	}
	err := unwrapFrom(t, http.StatusInternalServerError, `{"errors":["cipher: message authentication failed"]}`)
	kmstest.RequireClass(t, err, keyring.ErrUnavailable)
}

func TestWire_InvalidResponse(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":            "",
		"HTML":               "<!doctype html><title>" + canaryText + "</title>",
		"a JSON string":      `"` + canaryText + `"`,
		"no data":            `{}`,
		"no plaintext":       data(`"ciphertext":"` + blob + `"`),
		"null":               data(`"plaintext":null`),
		"an empty plaintext": data(`"plaintext":""`),
		"invalid base64":     data(`"plaintext":"` + canaryText + `"`),
		"a number":           data(`"plaintext":7`),
		"a batch":            data(`"batch_results":[{"plaintext":"AAAA"}]`),
		"truncated data":     `{"data":{"plaintext":"AAAA`,
		"a huge body":        data(`"plaintext":"` + strings.Repeat("A", 65<<10) + `"`),
		"a wrapped response": `{"data":null,"wrap_info":{"token":"` + canaryText + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			kmstest.RequireClass(t, unwrapFrom(t, http.StatusOK, body), keyring.ErrUnavailable)
		})
	}
}

func TestWire_InvalidCiphertext(t *testing.T) {
	good := strings.TrimPrefix(blob, "vault:v7:")
	for name, ciphertext := range map[string]string{
		"none":             "",
		"another prefix":   "wrap:v7:" + good,
		"no version":       "vault:v:" + good,
		"version 0":        "vault:v0:" + good,
		"a leading zero":   "vault:v07:" + good,
		"a negative one":   "vault:v-7:" + good,
		"a hex one":        "vault:v0x7:" + good,
		"a huge version":   "vault:v77777777777:" + good,
		"no data":          "vault:v7:",
		"data not base64":  "vault:v7:!!!!",
		"a line end in it": "vault:v7:" + good[:4] + "\n" + good[4:],
		"more after it":    "vault:v7:" + good + ":x",
		"a missing prefix": good,
	} {
		t.Run(name, func(t *testing.T) {
			encoded, err := json.Marshal(ciphertext)
			require.NoError(t, err)
			d := newDouble(t, sends(http.StatusOK, data(`"ciphertext":`+string(encoded))))
			w, err := d.kek(t).Wrap(t.Context(), canaryKey, tenant)
			kmstest.RequireClass(t, err, keyring.ErrUnavailable)
			require.Zero(t, w, "no wrapped key with an error")

			d = newDouble(t, sends(http.StatusOK, data(`"plaintext":"AAAA"`)))
			_, err = d.kek(t).Unwrap(t.Context(), keyring.WrappedKey{KEK: d.kek(t).ID(), Blob: []byte(ciphertext)}, tenant)
			kmstest.RequireClass(t, err, keyring.ErrMalformed)
			require.Empty(t, d.requests(), "an invalid ciphertext is not sent")
		})
	}
}

func TestWire_UnboundContext(t *testing.T) {
	t.Run("a warning about ignored parameters is an error", func(t *testing.T) {
		for _, warning := range []string{
			"Endpoint ignored these unrecognized parameters: [associated_data]",
			"Endpoint ignored these unrecognized parameters: [associated_data type]",
		} {
			encoded := base64.StdEncoding.EncodeToString(canaryKey)
			body := `{"data":{"plaintext":"` + encoded + `","ciphertext":"` + blob + `"},"warnings":["` + warning + `"]}`
			err := unwrapFrom(t, http.StatusOK, body)
			kmstest.RequireClass(t, err, keyring.ErrKeyState)
			require.ErrorContains(t, err, "Vault 1.13 or later", "the error names the fix")

			d := newDouble(t, sends(http.StatusOK, body))
			_, err = d.kek(t).Wrap(t.Context(), canaryKey, tenant)
			kmstest.RequireClass(t, err, keyring.ErrKeyState)
			requireNotSent(t, d)
		}
	})

	t.Run("other warnings are ignored", func(t *testing.T) {
		body := `{"data":{"plaintext":"AAAA"},"warnings":["the license ends soon"]}`
		got, err := newDouble(t, sends(http.StatusOK, body)).kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
		require.NoError(t, err)
		require.Equal(t, []byte{0, 0, 0}, got)
	})

	t.Run("a server that ignores the context silently gets no data key", func(t *testing.T) {
		d := newDouble(t, sends(http.StatusOK, data(`"plaintext":"AAAA","ciphertext":"`+blob+`"`)))
		_, err := d.kek(t).Wrap(t.Context(), canaryKey, tenant)
		kmstest.RequireClass(t, err, keyring.ErrKeyState)
		requireNotSent(t, d)
	})
}

// requireNotSent requires that the server has not received the data key.
func requireNotSent(t *testing.T, d *double) {
	t.Helper()
	require.NotEmpty(t, d.requests())
	for _, a := range d.requests() {
		require.False(t, bytes.Equal(canaryKey, a.body.Plaintext), "a server without proof never receives a data key")
	}
}

// transit responds like a key that binds its associated data.
func transit(w http.ResponseWriter, a received) {
	switch {
	case strings.HasSuffix(a.path, "/encrypt/satchel"):
		sends(http.StatusOK, data(`"ciphertext":"`+blob+`"`))(w, a)
	case string(a.body.AssociatedData) == "other":
		sends(http.StatusBadRequest, `{"errors":["cipher: message authentication failed"]}`)(w, a)
	default:
		sends(http.StatusOK, data(`"plaintext":"`+base64.StdEncoding.EncodeToString(canaryKey)+`"`))(w, a)
	}
}

func TestWire_Requests(t *testing.T) {
	t.Run("carry the key, the context and the client's current token", func(t *testing.T) {
		t.Setenv("VAULT_WRAP_TTL", "5m")
		d := newDouble(t, transit)
		client := newClient(t, d.URL)
		client.SetNamespace("team-a")
		kek, err := hashivault.New(client, "transit", "satchel")
		require.NoError(t, err)
		w, err := kek.Wrap(t.Context(), canaryKey, tenant)
		require.NoError(t, err)
		require.Equal(t, wrappedKey(), w)

		seen := d.requests()
		require.Len(t, seen, 3, "the first Wrap encrypts a probe, sees its decryption fail, and wraps")
		wrap := seen[2]
		require.Equal(t, "/v1/transit/encrypt/satchel", wrap.path, "the URL contains only the path of the key")
		require.Equal(t, canaryKey, wrap.body.Plaintext)
		encoded, err := tenant.Encode()
		require.NoError(t, err)
		require.Equal(t, encoded, wrap.body.AssociatedData, "the canonical context is the associated data")
		require.Equal(t, "none-the-key-must-exist", wrap.body.Type, "a key that is missing is not created")
		require.Equal(t, canaryToken, wrap.header.Get("X-Vault-Token"))
		require.Equal(t, "team-a", wrap.header.Get("X-Vault-Namespace"))
		require.Empty(t, wrap.header.Get("X-Vault-Wrap-TTL"), "a wrapped response would contain no ciphertext")

		client.SetToken("renewed")
		got, err := kek.Unwrap(t.Context(), w, tenant)
		require.NoError(t, err)
		require.Equal(t, canaryKey, got)
		seen = d.requests()
		require.Len(t, seen, 4, "Unwrap is one request")
		require.Equal(t, "/v1/transit/decrypt/satchel", seen[3].path)
		require.Equal(t, blob, seen[3].body.Ciphertext)
		require.Equal(t, encoded, seen[3].body.AssociatedData)
		require.Equal(t, "renewed", seen[3].header.Get("X-Vault-Token"), "the current token of the client is used")

		_, err = kek.Wrap(t.Context(), canaryKey, tenant)
		require.NoError(t, err)
		require.Len(t, d.requests(), 5, "the proof is not repeated")
	})

	t.Run("probe with associated data that no context has", func(t *testing.T) {
		d := newDouble(t, transit)
		_, err := d.kek(t).Wrap(t.Context(), canaryKey, tenant)
		require.NoError(t, err)
		for _, a := range d.requests()[:2] {
			associated := a.body.AssociatedData
			// An encoding starts with the number of pairs, at most 32, in 16 bits.
			require.NotZero(t, associated[0], "no context has this encoding")
		}
	})

	t.Run("are not retried", func(t *testing.T) {
		for _, status := range []int{412, 429, 500, 503} {
			d := newDouble(t, sends(status, `{"errors":["Vault is sealed"]}`))
			_, err := d.kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
			kmstest.RequireClass(t, err, keyring.ErrUnavailable)
			require.Len(t, d.requests(), 1, "the client would retry, but a keyring has replicas and its own back-off")
		}
	})

	t.Run("do not follow redirects", func(t *testing.T) {
		elsewhere := newDouble(t, transit)
		d := newDouble(t, func(w http.ResponseWriter, a received) {
			w.Header().Set("Location", elsewhere.URL+a.path)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		_, err := d.kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, "use the address of the active node")
		require.Empty(t, elsewhere.requests(), "neither token nor data key is sent to another server")
	})
}

func TestWire_NotSent(t *testing.T) {
	t.Run("a key wrapped under another KEK", func(t *testing.T) {
		d := newDouble(t, transit)
		w := wrappedKey()
		w.KEK.Key = "transit/other"
		_, err := d.kek(t).Unwrap(t.Context(), w, tenant)
		kmstest.RequireClass(t, err, keyring.ErrNoKey)
		require.Empty(t, d.requests(), "a record cannot make a KEK use another key")
	})

	t.Run("a context outside the limits", func(t *testing.T) {
		d := newDouble(t, transit)
		_, err := d.kek(t).Wrap(t.Context(), canaryKey, keyring.Context{"": "x"})
		kmstest.RequireClass(t, err, keyring.ErrMalformed)
		_, err = d.kek(t).Unwrap(t.Context(), wrappedKey(), keyring.Context{"": "x"})
		kmstest.RequireClass(t, err, keyring.ErrMalformed)
		require.Empty(t, d.requests())
	})
}

func TestWire_Deadline(t *testing.T) {
	t.Run("the end of the context reaches the server", func(t *testing.T) {
		arrived, left := make(chan struct{}), make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server detects a closed request only after it has read the body
			close(arrived)
			<-r.Context().Done()
			close(left)
		}))
		defer server.Close()
		kek, err := hashivault.New(newClient(t, server.URL), "transit", "satchel")
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		_, err = kek.Unwrap(ctx, wrappedKey(), tenant)
		require.ErrorIs(t, err, context.Canceled)
		for _, class := range kmstest.Classes {
			require.NotErrorIs(t, err, class, "the end of a context is not a failure of the server")
		}
		<-left
	})

	t.Run("the client's timeout applies", func(t *testing.T) {
		release := make(chan struct{})
		d := newDouble(t, func(http.ResponseWriter, received) { <-release })
		defer close(release)
		client := newClient(t, d.URL)
		client.SetClientTimeout(time.Millisecond)
		kek, err := hashivault.New(client, "transit", "satchel")
		require.NoError(t, err)
		_, err = kek.Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
		require.ErrorContains(t, err, "no response in time")
	})
}

func TestWire_NoResponse(t *testing.T) {
	t.Run("connection refused", func(t *testing.T) {
		d := newDouble(t, transit)
		kek := d.kek(t)
		d.Close()
		_, err := kek.Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, strings.TrimPrefix(d.URL, "http://")+": connection refused")
	})
	t.Run("connection cut", func(t *testing.T) {
		d := newDouble(t, func(http.ResponseWriter, received) { panic(http.ErrAbortHandler) })
		_, err := d.kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, "closed before the response was complete")
	})
	t.Run("certificate not trusted", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		kek, err := hashivault.New(newClient(t, server.URL), "transit", "satchel")
		require.NoError(t, err)
		_, err = kek.Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, "certificate cannot be trusted")
	})
	t.Run("a response that is not HTTP", func(t *testing.T) {
		d := newDouble(t, func(w http.ResponseWriter, _ received) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, canaryText+"\r\n\r\n")
				_ = conn.Close()
			}
		})
		_, err := d.kek(t).Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrUnavailable)
		leaktest.NoCanary(t, err.Error(), "the error", canaries...)
	})
	t.Run("a token that cannot be sent", func(t *testing.T) {
		d := newDouble(t, transit)
		client := newClient(t, d.URL)
		client.SetToken(canaryToken + "\n")
		kek, err := hashivault.New(client, "transit", "satchel")
		require.NoError(t, err)
		_, err = kek.Unwrap(t.Context(), wrappedKey(), tenant)
		kmstest.RequireClass(t, err, keyring.ErrDenied)
		require.ErrorContains(t, err, "contains a newline or another control character; remove it")
		leaktest.NoCanary(t, err.Error(), "the error", canaries...)
		require.Empty(t, d.requests())
	})
}

func TestKEK_Print(t *testing.T) {
	kek := newDouble(t, transit).kek(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		printed := fmt.Sprintf(verb, kek)
		require.NotContains(t, printed, canaryToken)
		require.NotContains(t, printed, fmt.Sprintf("%x", canaryToken))
	}
}
