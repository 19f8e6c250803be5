package hashivault

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

const (
	// maxAnswer bounds the body of a response, in bytes. Vault stores about
	// 1 MiB, and JSON may need six bytes per byte.
	maxAnswer     = 8 << 20
	maxRetryAfter = time.Hour

	notVault = "the response is not Vault's: check the {hashivault.KV.Address} and any proxy between this machine and Vault"
)

var transport = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	TLSHandshakeTimeout:    10 * time.Second,
	MaxResponseHeaderBytes: 64 << 10,
}

// answer is the body of every response. Version 1 of the engine has no metadata; a
// deleted version has metadata and no data.
type answer struct {
	Data struct {
		Data     map[string]json.RawMessage `json:"data"`
		Metadata *metadata                  `json:"metadata"`
	} `json:"data"`
	Errors []string `json:"errors"`
}

type metadata struct {
	Version   int64     `json:"version"`
	Created   vaultTime `json:"created_time"`
	Deletion  vaultTime `json:"deletion_time"`
	Destroyed bool      `json:"destroyed"`
}

// vaultTime is a time that Vault may encode as an empty string.
type vaultTime struct{ time.Time }

func (t *vaultTime) UnmarshalJSON(data []byte) error {
	if string(data) == `""` {
		return nil
	}
	return t.Time.UnmarshalJSON(data)
}

// get reads the path and returns a response with data and metadata.
func (k *KV) get(ctx context.Context, endpoint *url.URL, token bundle.Value) (*answer, error) {
	response, err := k.send(ctx, endpoint, token)
	if err != nil {
		return nil, failure(bundle.FetchUnavailable, fmt.Errorf("%s: %s (server %s)", k, reason(err), endpoint.Host))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, failure(bundle.FetchUnavailable, fmt.Errorf("%s: %s (server %s)", k, reason(err), endpoint.Host))
	}
	status := &remote.StatusError{
		Method: http.MethodGet, URL: withoutQuery(endpoint), StatusCode: response.StatusCode,
		RetryAfter: retryAfter(response.Header),
	}
	if len(body) > maxAnswer {
		status.Reason = "answer-too-large"
		return nil, refusal(bundle.FetchUnavailable, status, notVault)
	}
	own := isVaults(body)
	if !own {
		status.RetryAfter = min(status.RetryAfter, remote.MaxForeignRetry)
	}
	var a answer
	decoding := json.Unmarshal(body, &a)
	if response.StatusCode != http.StatusOK {
		return nil, k.refused(status, &a, own)
	}
	m := a.Data.Metadata
	switch {
	case !own:
		if !json.Valid(body) {
			status.Reason = "not-json"
		}
		return nil, refusal(bundle.FetchUnavailable, status, notVault)
	case decoding != nil, m == nil, a.Data.Data == nil, m.Version < 1, k.Version > 0 && m.Version != int64(k.Version):
		status.Reason = "not-kv-2"
		return nil, refusal(bundle.FetchPermanent, status, "the response is not from a key-value engine of version 2: check the {hashivault.KV.Mount}, or upgrade the engine")
	}
	return &a, nil
}

// isVaults reports whether the body of a response is Vault's: JSON with data or errors.
// Only Vault knows whether a path exists and the token is valid; gateways answer with
// pages, and with JSON of their own.
func isVaults(body []byte) bool {
	var a struct {
		Data   map[string]json.RawMessage `json:"data"`
		Errors []string                   `json:"errors"`
	}
	return json.Unmarshal(body, &a) == nil && (a.Data != nil || a.Errors != nil)
}

func (k *KV) send(ctx context.Context, endpoint *url.URL, token bundle.Value) (*http.Response, error) {
	client := http.Client{Transport: transport}
	if k.Client != nil {
		client = *k.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 0 // the context has it

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	request.Header.Set("X-Vault-Token", token.Reveal())
	request.Header.Set("X-Vault-Request", "true") // required by a Vault agent against forged requests
	if k.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", k.Namespace)
	}
	return client.Do(request)
}

// refused returns the error for a response other than 200. own reports whether it is
// Vault's.
func (k *KV) refused(status *remote.StatusError, a *answer, own bool) error {
	switch code := status.StatusCode; {
	case code >= 300 && code < 400:
		return refusal(bundle.FetchUnavailable, status, "redirects are not followed, to keep the token on one server: use the address of the active node")
	case code == http.StatusBadRequest && strings.Contains(strings.Join(a.Errors, "\n"), "Upgrading from non-versioned"):
		return refusal(bundle.FetchUnavailable, status, "the engine is being upgraded to version 2: try again later")
	case code == http.StatusForbidden && own:
		return refusal(bundle.FetchPermanent, status, fmt.Sprintf("the token is invalid or has expired, or its policy lacks read on %s/data/%s", k.mount(), k.Path))
	case code == http.StatusNotFound && own:
		return k.missing(status, a)
	case code == http.StatusServiceUnavailable:
		return refusal(bundle.FetchUnavailable, status, "Vault is sealed or not ready")
	case code >= 500, code == http.StatusPreconditionFailed, code == http.StatusTooManyRequests, code == 472, code == 473:
		return refusal(bundle.FetchUnavailable, status, "Vault is temporarily unavailable: try again later")
	case !own, code < 300, code == http.StatusUnauthorized:
		return refusal(bundle.FetchUnavailable, status, notVault)
	}
	return refusal(bundle.FetchPermanent, status, "check the {hashivault.KV.Address}, the {hashivault.KV.Mount} and the {hashivault.KV.Path}")
}

// missing returns the error for a 404 from Vault, by cause.
func (k *KV) missing(status *remote.StatusError, a *answer) error {
	what, fix := "", ""
	switch m := a.Data.Metadata; {
	case m != nil && m.Destroyed:
		status.Reason = "destroyed-version"
		what, fix = fmt.Sprintf("version %d was destroyed, which cannot be undone", m.Version), "write a new one"
	case m != nil:
		status.Reason = "deleted-version"
		what, fix = fmt.Sprintf("version %d was deleted at %s", m.Version, m.Deletion.UTC().Format(time.RFC3339)), "undelete it, or write a new one"
	case strings.Contains(strings.Join(a.Errors, "\n"), "no handler for route"):
		status.Reason = "no-such-mount"
		what, fix = fmt.Sprintf("no engine is mounted at %s", k.mount()), "check the {hashivault.KV.Mount} and the {hashivault.KV.Namespace}"
	case k.Version > 0:
		status.Reason = "no-such-path"
		what, fix = fmt.Sprintf("%s does not exist or has no version %d", k.location(), k.Version), "check the {hashivault.KV.Version} and the {hashivault.KV.Path}, and that the engine is of version 2"
	default:
		status.Reason = "no-such-path"
		what, fix = fmt.Sprintf("%s does not exist", k.location()), "check the {hashivault.KV.Path}, which must not start with data/, and that the engine is of version 2"
	}
	return refusal(bundle.FetchPermanent, status, what+": "+fix)
}

func refusal(kind bundle.FetchKind, status *remote.StatusError, advice string) error {
	return &bundle.FetchError{Kind: kind, RetryAfter: status.RetryAfter, Err: &bundle.Fault{Err: status, Fix: advice, Retryable: kind == bundle.FetchUnavailable}}
}

func withoutQuery(u *url.URL) string {
	bare := *u
	bare.RawQuery = ""
	return bare.String()
}

// retryAfter returns the seconds in a Retry-After header, at most maxRetryAfter.
// Vault sends no dates.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// reason describes in fixed words why there was no response. The text of err may
// quote the server or a proxy's password.
func reason(err error) string {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isName := errors.AsType[*net.DNSError](err)
	timeout, isNetwork := errors.AsType[net.Error](err)
	switch {
	case isErrno:
		return errno.Error()
	case isCertificate:
		return "the server's certificate cannot be trusted"
	case isName:
		return "the host's name cannot be resolved"
	case isNetwork && timeout.Timeout():
		return "no response in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the response was complete"
	}
	return "invalid HTTP response"
}
