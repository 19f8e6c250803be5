// Package vaulttest helps to test code against a vault: [NewPlatform] starts a
// complete platform, which can fail on demand.
//
//	p := vaulttest.NewPlatform(t)
//	p.Put(t, "acme/web", "ANTHROPIC_API_KEY", "sk-ant-…")
//	runner := &providers.Platform{URL: p.URL, Client: p.Client, Token: p.Token(t, "acme/web")}
package vaulttest
