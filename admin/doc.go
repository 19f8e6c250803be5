// Package admin is a client of a platform's admin API, for setting up runners,
// migrations and scripts. vaulthttp.Admin serves the API, and docs/openapi.yaml
// describes it.
//
//	platform := &admin.Client{URL: "https://satchel.example.com/admin", Authorize: authorize}
//	_, err := platform.Put(ctx, "acme/web", "ANTHROPIC_API_KEY", key, nil)
//	token, info, err := platform.IssueToken(ctx, "acme/web", nil)
//
// Administrators write secrets but cannot read them: no response contains a value,
// and only those to issuing and rotating a token contain a token. Runners fetch
// their bundles with providers.Platform instead.
//
// An unexpected response is an [*Error]; check for [ErrNotFound] and [ErrConflict]
// with errors.Is.
package admin
