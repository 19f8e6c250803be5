package hashivault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/outgoing"
)

// KV is a [bundle.Provider] that reads one path of a key-value engine, version 2.
// Each key becomes a secret: a string as it is, a number or boolean as JSON writes it.
// A key with another value, or with one that is invalid for a secret, is left out and
// becomes a [bundle.Problem].
//
// A secret's Version is the version of the path, and Rotated the time when that
// version was written. Created equals Rotated for version 1 and is zero for later
// ones. Expires is the time at which Vault will delete the version, if any
// (delete_version_after). The origin is like "hashivault
// secret/runners/pool-a#5". Custom metadata is ignored.
//
// Each Fetch sends one request, and returns last itself if nothing has changed.
// Every error is a [*bundle.FetchError]. It wraps a *providers.StatusError if there
// was a response, with the Reason "no-such-path", "no-such-mount",
// "deleted-version", "destroyed-version", "not-kv-2", "not-json",
// "answer-too-large" or none, and the context's error if the context ended. The
// kind is
//
//   - unavailable if Vault is sealed, busy, being upgraded or unreachable, or if
//     the response is not Vault's;
//   - permanent if a field is invalid, the path does not exist, the version was
//     deleted or destroyed, or the token is rejected. Vault sends 403 both for an
//     expired token and for a policy without access, so the kind is never
//     revoked, and a client keeps its secrets.
//
// No error contains the token, a value, or any part of the response except its
// status, key names, the version and its deletion time. Redirects are not followed.
// Each request uses its own connection, which is closed afterwards, because package
// net/http logs unsolicited data on idle connections.
//
// The fields must not change after the first use. KV is safe for concurrent use
// and never logs.
type KV struct {
	// Address is the URL of Vault. It must be https unless the host is loopback
	// (localhost, 127.0.0.0/8 or ::1), as for a Vault agent. It must not have a
	// user, query or fragment. Required.
	Address string
	// Token returns the Vault token. It is called for each Fetch, possibly
	// concurrently, so it can follow a token that changes. Its error is wrapped
	// and keeps its kind; it must not contain the token. Required.
	Token func(ctx context.Context) (bundle.Value, error)
	// Namespace is the engine's namespace, for Vault editions with namespaces.
	// Default: the root namespace.
	Namespace string
	// Mount is the path at which the engine is mounted. Default: "secret".
	Mount string
	// Path is the path within the engine, without the "data/" of Vault's API.
	// Required.
	Path string
	// Version is the version to read. Default: the newest.
	Version int
	// Names maps the keys to read to the names of their secrets, such as
	// {"db-password": "DB_PASSWORD"}. A missing key becomes a
	// [bundle.Problem]. Default: all keys under their own names; a key that is
	// invalid as the name of a secret becomes a Problem.
	Names map[string]string
	// Client sends the requests. Its Timeout and CheckRedirect are ignored.
	// Default: a client with the system's certificate authorities and the
	// environment's proxy.
	Client *http.Client
	// Timeout bounds a Fetch, including the call of Token. Default: 30 seconds.
	Timeout time.Duration
}

const (
	defaultMount   = "secret"
	defaultTimeout = 30 * time.Second
)

// Fetch implements [bundle.Provider]: it sends one request, and returns last itself
// if the bundle is equal.
func (k *KV) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	b, err := k.fetch(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, failure(bundle.FetchUnavailable, fmt.Errorf("%s: %w", k, ctx.Err()))
	case err != nil:
		return nil, err
	case last != nil && b.Equal(last):
		return last, nil
	}
	return b, nil
}

// fetch sends one request.
func (k *KV) fetch(ctx context.Context) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	endpoint, err := k.endpoint()
	if err != nil {
		return nil, failure(bundle.FetchPermanent, fmt.Errorf("hashivault.KV: %w", err))
	}
	timeout := k.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	token, err := k.token(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := k.get(ctx, endpoint, token)
	if err != nil {
		return nil, err
	}
	return k.bundle(answer)
}

// String returns "hashivault" with the mount and the path, such as "hashivault
// secret/runners/pool-a".
func (k *KV) String() string { return "hashivault " + k.location() }

func (k *KV) location() string { return k.mount() + "/" + k.Path }

func (k *KV) mount() string { return cmp.Or(k.Mount, defaultMount) }

// endpoint validates the settings and returns the URL of the request. The error
// quotes at most the host of the address.
func (k *KV) endpoint() (*url.URL, error) {
	base, err := parseAddress(k.Address)
	if err != nil {
		return nil, err
	}
	if err := checkPath("Mount", k.mount(), defaultMount); err != nil {
		return nil, err
	}
	if err := checkPath("Path", k.Path, "runners/pool-a"); err != nil {
		return nil, err
	}
	switch {
	case k.Version < 0:
		return nil, setting("Version", fmt.Sprintf("is %d", k.Version), "write 1 or more, or 0 for the newest")
	case k.Token == nil:
		return nil, &bundle.Fault{Problem: "the {hashivault.KV.Token} function is not set", Setting: "hashivault.KV.Token", Fix: "set it"}
	case !plain(k.Namespace):
		return nil, setting("Namespace", "has characters other than printable ASCII", "write it like team-a/ci")
	}
	for key, name := range k.Names {
		if err := bundle.CheckName(name); err != nil {
			return nil, &bundle.Fault{Problem: fmt.Sprintf("the {hashivault.KV.Names}, for the key %.64q: %v", key, err), Setting: "hashivault.KV.Names", Err: err}
		}
	}
	segments := append([]string{"v1"}, strings.Split(k.mount()+"/data/"+k.Path, "/")...)
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	endpoint := base.JoinPath(segments...)
	if k.Version > 0 {
		endpoint.RawQuery = fmt.Sprintf("version=%d", k.Version)
	}
	return endpoint, nil
}

func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	problem, fix := "", "write it like https://vault.example.com"
	switch {
	case address == "":
		problem = "is empty"
	case err != nil:
		problem = "is not a valid URL"
	case u.User != nil:
		problem, fix = "has a user or a password", "remove everything from // to @"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(address, "#"):
		problem, fix = "has a query or a fragment", "remove the ? or # and everything after it"
	case u.Scheme != "https" && u.Scheme != "http":
		problem = "does not start with https://"
	case u.Hostname() == "" || u.Opaque != "":
		problem = "has no host"
	case u.Scheme == "http" && !outgoing.Loopback(u.Hostname()):
		problem, fix = fmt.Sprintf("would send the token to %s in the clear", u.Host), "use https; http is for this machine only"
	default:
		return u, nil
	}
	return nil, setting("Address", problem, fix)
}

// checkPath rejects a path that could leave its place in the URL.
func checkPath(what, path, example string) error {
	problem := ""
	switch {
	case path == "":
		problem = "is empty"
	case strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		problem = `starts or ends with "/"`
	case strings.Contains(path, "//"):
		problem = `contains "//"`
	case strings.Contains("/"+path+"/", "/../") || strings.Contains("/"+path+"/", "/./"):
		problem = `has the segment "." or ".."`
	case strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f }):
		problem = "contains a control character"
	default:
		return nil
	}
	return setting(what, fmt.Sprintf("%.80q %s", path, problem), fmt.Sprintf("write it like %q", example))
}

// setting returns the fault of a field.
func setting(field, problem, fix string) error {
	name := "hashivault.KV." + field
	return &bundle.Fault{Problem: "the {" + name + "} " + problem, Setting: name, Fix: fix}
}

// plain reports whether s is valid in a header.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// token calls Token and validates its result.
func (k *KV) token(ctx context.Context) (bundle.Value, error) {
	token, err := k.Token(ctx)
	if err != nil {
		failed := &bundle.FetchError{Err: fmt.Errorf("%s: getting the token: %w", k, err)}
		if inner, ok := errors.AsType[*bundle.FetchError](err); ok {
			failed.Kind, failed.RetryAfter = inner.Kind, inner.RetryAfter
		}
		return bundle.Value{}, failed
	}
	problem := ""
	switch s := token.Reveal(); {
	case s == "":
		problem = "the token is empty"
	case strings.TrimSpace(s) != s:
		problem = "the token has leading or trailing whitespace, perhaps a line break; remove it, for example with strings.TrimSpace"
	case !plain(s):
		problem = "the token has characters other than printable ASCII"
	default:
		return token, nil
	}
	return bundle.Value{}, failure(bundle.FetchPermanent, fmt.Errorf("%s: %s", k, problem))
}

func failure(kind bundle.FetchKind, err error) error {
	return &bundle.FetchError{Kind: kind, Err: err}
}
