package github

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Reasons of a StatusError for GitHub.
const (
	reasonAppKey       = "app-key"
	reasonClock        = "clock"
	reasonSuspended    = "suspended"
	reasonRateLimit    = "rate-limit"
	reasonRepositories = "repositories"
	reasonPermissions  = "permissions"
)

// readRefusal returns the error for a response other than 201. It reads the body
// for the few messages of GitHub that refine the status.
func (g *App) readRefusal(c *remote.Call, response *http.Response, sent claims, public *rsa.PublicKey) error {
	e := c.Status(response)
	message, githubs := githubMessage(response)
	says := func(word string) bool { return strings.Contains(message, word) }
	kind, fix := bundle.FetchPermanent, ""
	switch code := e.StatusCode; {
	case code == http.StatusForbidden && says("suspended"):
		e.Reason = reasonSuspended
		fix = fmt.Sprintf("installation %d is suspended: ask its owner or the app's owner to unsuspend it", g.InstallationID)
	case rateLimited(e, response.Header, message):
		kind, fix = bundle.FetchUnavailable, "try again later, and mint fewer tokens"
	case !githubs:
		kind, fix = peer.NotFrom(code)
	case code == http.StatusUnauthorized && (says("('iat')") || says("('exp')") || !countThere(sent, response)):
		e.Reason = reasonClock
		kind, fix = bundle.FetchUnavailable, "set the clock of this machine, for example with NTP"
	case code == http.StatusUnauthorized:
		e.Reason = reasonAppKey
		fix = fmt.Sprintf("the app %s does not have the key %s: use one of the private keys in its settings, and check {github.App.AppID}", g.AppID, fingerprint(public))
	case code == http.StatusForbidden:
		fix = fmt.Sprintf("permission denied: check installation %d and its owner's IP allow list", g.InstallationID)
	case code == http.StatusNotFound:
		fix = fmt.Sprintf("the app %s has no installation %d: check that it was not removed, and check {github.App.InstallationID}, {github.App.AppID} and the URL, which is https://api.github.com or ends in /api/v3", g.AppID, g.InstallationID)
	case code == http.StatusUnprocessableEntity:
		e.Reason, fix = g.explainGrant(message)
	default:
		kind, fix = peer.KindOf(code)
	}
	if !githubs { // GitHub may be back before the time of a gateway's page
		e.RetryAfter = min(e.RetryAfter, remote.MaxForeignRetry)
	}
	return remote.Failure(e, kind, fix)
}

// githubMessage returns the message of the response in lower case, and whether the
// response is GitHub's. Gateways send messages in JSON as well, without GitHub's other
// marks.
func githubMessage(response *http.Response) (message string, githubs bool) {
	var said struct {
		Message string
		URL     string `json:"documentation_url"`
	}
	if !remote.ReadRefusal(response, &said) {
		return "", false
	}
	marked := said.URL != "" || response.Header.Get("X-GitHub-Request-Id") != ""
	return strings.ToLower(said.Message), marked && said.Message != ""
}

// countThere reports whether the claims are valid by the server's Date, or whether
// it sent none.
func countThere(sent claims, response *http.Response) bool {
	date, err := http.ParseTime(response.Header.Get("Date"))
	return err != nil || sent.countAt(date)
}

// rateLimited reports whether GitHub limited the rate of requests, and then sets
// Reason and RetryAfter.
func rateLimited(e *remote.StatusError, header http.Header, message string) bool {
	spent := header.Get("X-RateLimit-Remaining") == "0"
	switch {
	case e.StatusCode == http.StatusTooManyRequests:
	case e.StatusCode == http.StatusForbidden && (spent || e.RetryAfter > 0 || strings.Contains(message, "rate limit")):
	default:
		return false
	}
	e.Reason = reasonRateLimit
	if reset, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64); spent && err == nil && e.RetryAfter == 0 {
		now := time.Now()
		if date, err := http.ParseTime(header.Get("Date")); err == nil {
			now = date
		}
		e.RetryAfter = min(max(time.Unix(reset, 0).Sub(now), time.Second), remote.MaxRetryAfter)
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = remote.LeastLimit
	}
	return true
}

// explainGrant returns the reason and the fix if the installation lacks the
// requested access.
func (g *App) explainGrant(message string) (reason, fix string) {
	repositories := fmt.Sprintf("check that %s exist under those names, and that installation %d has access to them", remote.Some(g.Repositories, "all repositories"), g.InstallationID)
	var asked []string
	for _, name := range slices.Sorted(maps.Keys(g.Permissions)) {
		asked = append(asked, name+": "+g.Permissions[name])
	}
	permissions := fmt.Sprintf("check that the app has %s, and that the owner of installation %d has accepted the request", remote.Some(asked, "permissions"), g.InstallationID)
	aboutPermissions, aboutRepositories := strings.Contains(message, "permission"), strings.Contains(message, "repositor")
	switch {
	case aboutPermissions && !aboutRepositories:
		return reasonPermissions, permissions
	case aboutRepositories && !aboutPermissions:
		return reasonRepositories, repositories
	}
	return "", repositories + "; " + permissions
}

// checkRevoked returns the error for the response to a revocation. A token that
// GitHub does not accept (401) needs no revocation.
func checkRevoked(c *remote.Call, response *http.Response) error {
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	e := c.Status(response)
	message, githubs := githubMessage(response)
	if githubs && e.StatusCode == http.StatusUnauthorized {
		return nil
	}
	if rateLimited(e, response.Header, message) {
		return remote.Failure(e, bundle.FetchUnavailable, "try again later; the token expires within the hour")
	}
	kind, fix := peer.KindOf(e.StatusCode)
	if !githubs {
		kind, fix = peer.NotFrom(e.StatusCode)
	}
	return remote.Failure(e, kind, fix)
}
