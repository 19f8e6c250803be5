// Package admin is a client of a platform's admin API, which vaulthttp.Admin
// serves and docs/openapi.yaml describes: what the setup of a runner, a migration
// and scripts need of it.
//
//	platform := &admin.Client{URL: "https://satchel.example.com/admin", Authorize: authorize}
//	_, err := platform.Put(ctx, "acme/web", "ANTHROPIC_API_KEY", key, nil)
//	token, info, err := platform.IssueToken(ctx, "acme/web", nil)
//
// Administrators write secrets and never read them: no answer has a value, and
// a runner's token is in the answer to its issue or rotation only. A runner
// fetches its bundle with providers.Platform instead.
//
// An answer that is a refusal is an [*Error]. [ErrNotFound] and [ErrConflict]
// are what callers branch on.
package admin
