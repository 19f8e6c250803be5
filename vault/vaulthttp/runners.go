package vaulthttp

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/calmlog"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// Options configures [Runners]. The zero value of each field means its default.
type Options struct {
	// AllowPlaintext serves requests without TLS on interfaces other than
	// loopback, for a server behind a proxy that terminates TLS.
	// Default: such requests are refused.
	AllowPlaintext bool
	// RemoteAddr returns the address of the client, for a server behind a proxy;
	// see [TrustedProxies]. A custom function must use a header that the proxy
	// always overwrites, because clients can send any header. Without RemoteAddr, all
	// runners behind a proxy share the proxy's address and its limits. RemoteAddr is
	// called concurrently. A port, brackets and an IPv6 zone in its result are removed.
	// Default: the address of the connection, without the port.
	RemoteAddr func(*http.Request) string
	// TokenLimit and AddressLimit bound the requests with one token, and from one
	// address or IPv6 /64. Requests over a limit get 429 with Retry-After. A poll
	// that waited for a change does not count, except while it waits. For n runners
	// with one token, TokenLimit should be at least n/900 a second, which is one
	// request of each in 15 minutes, with bursts of 3*n. TokenLimit also bounds the
	// audit entries that a stolen token can cause (docs/audit.md).
	// Default: 1 a second with bursts of 1,000 for a token, 1,000 a second with
	// bursts of 100,000 for an address.
	TokenLimit, AddressLimit Limit
	// FailureLimit bounds the requests from one address that are refused because
	// their token is missing, malformed or unknown. Over the limit, requests from
	// that address get 429 without a check of their token, except with tokens that
	// were accepted before. Default: 10 a second with bursts of 1,000.
	FailureLimit Limit
	// Limited is called for every request refused with 429, for metrics. It is
	// called concurrently and must not block. Default: no call.
	Limited func(by LimitKind)
	// Drain ends the waits of runners before the server's Shutdown does.
	// Default: they end when Shutdown is called.
	Drain *Drain
	// Logger receives refusals and failures, at a bounded rate.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Runners returns the handler of the bootstrap protocol (docs/protocol.md), which
// serves GET /runners/bootstrap. To serve it below a prefix, wrap it in
// http.StripPrefix. opts may be nil. The handler is safe for concurrent use.
//
// Refusals are problem documents (RFC 9457) with fixed texts. Responses to waiting
// runners take up to 58 seconds; a server's WriteTimeout must be longer. When the
// Shutdown of the request's http.Server is called, waiting runners get 503 with
// Retry-After, so that Shutdown does not wait for them.
func Runners(v *vault.Vault, opts *Options) http.Handler {
	if opts == nil {
		opts = &Options{}
	}
	return &runners{
		v:              v,
		allowPlaintext: opts.AllowPlaintext,
		remoteAddr:     opts.RemoteAddr,
		limits:         newLimiter(opts),
		limited:        opts.Limited,
		drain:          opts.Drain,
		log:            calmlog.New(cmp.Or(opts.Logger, slog.Default())),
	}
}

type runners struct {
	v              *vault.Vault
	allowPlaintext bool
	remoteAddr     func(*http.Request) string // or nil
	limits         *limiter
	limited        func(LimitKind) // or nil
	drain          *Drain          // or nil
	drains         drains          // of the servers
	log            *slog.Logger
}

// addrOf returns the address of the client, by remoteAddr unless that is nil, in its
// usual form, so that no port or spelling counts as another address. Text of
// remoteAddr that is not an IP address is kept if it is valid; otherwise addrOf returns
// the empty string, because headers may contain anything.
func addrOf(r *http.Request, remoteAddr func(*http.Request) string) string {
	addr := r.RemoteAddr
	if remoteAddr != nil {
		addr = remoteAddr(r)
	}
	if ip, ok := parseAddr(addr); ok {
		return ip.WithZone("").String()
	}
	if remoteAddr == nil || !isText(addr, maxAddress) {
		return ""
	}
	return addr
}

// maxAddress is the limit of vault.BootstrapRequest.RemoteAddr, in bytes.
const maxAddress = 256

// isText reports whether s is UTF-8 without control characters and tokens, of at most
// the given number of bytes.
func isText(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && !wire.HoldsToken(s)
}

// These refusals do not depend on the vault.
var (
	notFound    = wire.Refusal{Type: wire.RequestProblem, Title: "No such path", Status: http.StatusNotFound}
	wrongMethod = wire.Refusal{Type: wire.RequestProblem, Title: "Unsupported method", Status: http.StatusMethodNotAllowed, Detail: "Use GET."}
	tokenInURL  = wire.Refusal{Type: wire.RequestProblem, Title: "The URL contains a token", Status: http.StatusBadRequest,
		Detail: "Send tokens in the Authorization header. Replace this token, because URLs are logged."}
	needsTLS      = wire.Refusal{Type: wire.NotAllowedProblem, Title: "TLS is required", Status: http.StatusForbidden}
	nothingStored = wire.Refusal{Type: wire.UnavailableProblem, Title: "The vault is empty", Status: http.StatusServiceUnavailable,
		Detail: "Nothing is stored here yet, so tokens are unknown. Store a secret or issue a token, or check that the platform uses the right database."}
	badName = wire.Refusal{Type: wire.RequestProblem, Title: "Invalid runner name", Status: http.StatusBadRequest,
		Detail: "The header Satchel-Runner allows at most 128 bytes of UTF-8 without control characters and without a token. Replace a token that was sent there."}
)

func (h *runners) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.URL.Path != wire.BootstrapPath:
		refuse(w, notFound)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, wrongMethod)
	case !h.allowPlaintext && !protected(r):
		refuse(w, needsTLS)
	case hasToken(r.URL):
		refuse(w, tokenInURL)
	default:
		h.bootstrap(w, r)
	}
}

// hasToken reports whether the query of u contains a token, or seems to be an
// attempt to send one.
func hasToken(u *url.URL) bool {
	if strings.Contains(u.RawQuery, wire.TokenPrefix) || hasTokenPattern(u) {
		return true
	}
	for name, values := range u.Query() { // decoded
		if name == "token" || strings.Contains(name+"\n"+strings.Join(values, "\n"), wire.TokenPrefix) {
			return true
		}
	}
	return false
}

// protected reports whether the network cannot read the exchange: it uses TLS, the
// loopback interface or a Unix socket.
func protected(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	// This is the local address of the connection. Requests without one, as in
	// tests, did not come over a network.
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	switch addr := local.(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

func (h *runners) bootstrap(w http.ResponseWriter, r *http.Request) {
	addr := addrOf(r, h.remoteAddr)
	token := bearer(r)
	req := &vault.BootstrapRequest{
		IfNoneMatch: wire.Revision(r.Header.Get("If-None-Match")),
		Wait:        wire.Wait(r.Header.Values("Prefer")),
		Runner:      r.Header.Get(wire.RunnerHeader),
		RemoteAddr:  addr,
	}
	waits := req.IfNoneMatch != "" && req.Wait > 0
	pass, limit, wait := h.limits.admit(addr, token.Reveal(), req.IfNoneMatch, waits)
	if wait > 0 {
		h.holdOff(w, r, addr, limit, wait)
		return
	}
	ofServer := h.drains.of(r)
	drained := waits && (h.drain.ended() || ofServer.ended())
	if drained {
		req.Wait = 0
	} else if waits {
		ctx, cancel := h.drain.bound(r.Context())
		defer cancel()
		ctx, cancel = ofServer.bound(ctx)
		defer cancel()
		r = r.WithContext(ctx)
	}
	b, err := h.v.Bootstrap(r.Context(), token, req)
	h.limits.settle(pass, b.Revision(), err)
	if errors.Is(err, vault.ErrUnchanged) && drained {
		refuseEnding(w) // after a 304 the runner would poll again immediately
		return
	}
	if errors.Is(err, vault.ErrUnchanged) {
		w.Header().Set("ETag", wire.ETag(req.IfNoneMatch))
		w.WriteHeader(http.StatusNotModified)
		return
	}
	var answer []byte
	if err == nil {
		answer, err = wire.Encode(b)
	}
	if err != nil {
		h.fail(w, r, addr, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", wire.ETag(b.Revision()))
	_, _ = w.Write(answer) // fails only if the runner has disconnected
}

// bearer returns the token of the Authorization header (RFC 6750), or the zero
// Value.
func bearer(r *http.Request) bundle.Value {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return bundle.Value{}
	}
	return bundle.NewValue(strings.TrimSpace(token))
}

// holdOff responds 429 to a request over a limit.
func (h *runners) holdOff(w http.ResponseWriter, r *http.Request, addr string, limit LimitKind, wait time.Duration) {
	if h.limited != nil {
		h.limited(limit)
	}
	h.log.WarnContext(r.Context(), "rate limit exceeded", "limit", string(limit), "address", addr)
	setRetryAfter(w, wait)
	refuse(w, wire.Refusal{
		Type: wire.TooManyProblem, Title: "Too many requests", Status: http.StatusTooManyRequests,
		Detail: "Retry after the time in Retry-After.", Reason: string(limit),
	})
}

// fail responds to a bootstrap request that failed with err. The log gets the
// error; the runner gets a fixed text.
func (h *runners) fail(w http.ResponseWriter, r *http.Request, addr string, err error) {
	if errors.Is(err, vault.ErrInvalid) { // addrOf has checked the rest
		refuse(w, badName)
		return
	}
	if refused, ok := errors.AsType[*vault.TokenError](err); ok {
		h.log.WarnContext(r.Context(), "runner's token refused", "reason", string(refused.Reason), "address", addr)
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		refuse(w, wire.Refusal{
			Type: wire.TokenProblem, Title: "Runner token refused", Status: http.StatusUnauthorized,
			Detail: tokenDetail(refused), Reason: string(refused.Reason),
		})
		return
	}
	if errors.Is(err, vault.ErrEmpty) {
		h.log.ErrorContext(r.Context(), "bundle not delivered", "error", err, "address", addr)
		setRetryAfter(w, retryAfter)
		refuse(w, nothingStored)
		return
	}
	refuseFailure(w, r, h.log, "bundle not delivered", err)
}

// tokenDetail says why a token was refused, and what to do about it.
func tokenDetail(refused *vault.TokenError) string {
	switch refused.Reason {
	case vault.TokenMissing:
		return "Send the token in the header Authorization: Bearer TOKEN."
	case vault.TokenUnknown:
		return "No such token exists here. Check the URL of the platform, or issue a new token."
	case vault.TokenRevoked:
		return "The token was revoked or replaced. Use the new token, or issue one."
	case vault.TokenExpired:
		return "The token has expired. Issue a new one."
	}
	return cmp.Or(refused.Detail, string(refused.Reason))
}

// refuse writes a problem document, without any token that its text repeats.
func refuse(w http.ResponseWriter, problem wire.Refusal) {
	problem.Title, problem.Detail = wire.HideTokens(problem.Title), wire.HideTokens(problem.Detail)
	body, err := json.Marshal(problem)
	if err != nil {
		panic(err) // strings and a number always encode
	}
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(problem.Status)
	_, _ = w.Write(append(body, '\n'))
}
