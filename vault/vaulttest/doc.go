// Package vaulttest helps to test against a vault: [NewPlatform] starts a whole
// platform in one call.
//
//	p := vaulttest.NewPlatform(t)
//	p.Put(t, "acme/web", "ANTHROPIC_API_KEY", "sk-ant-…")
//	runner := &providers.Platform{URL: p.URL, Client: p.Client, Token: p.Token(t, "acme/web")}
package vaulttest
