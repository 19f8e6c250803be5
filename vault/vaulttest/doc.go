// Package vaulttest helps to test against a vault: [NewPlatform] starts a whole
// platform in one call, and [RunStorage] checks an implementation of
// vault.Storage.
//
//	p := vaulttest.NewPlatform(t)
//	p.Put(t, "acme/web", "ANTHROPIC_API_KEY", "sk-ant-…")
//	runner := &providers.Bootstrap{URL: p.URL, Client: p.Client, Token: p.Token(t, "acme/web")}
package vaulttest
