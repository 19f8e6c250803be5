// Package satchel keeps a program's secrets fresh. It is what a runner embeds:
// it fetches bundles of secrets from several layers, lets the nearer layer win
// name by name, and holds the result in memory.
//
//	layers := []bundle.Provider{platform, dotenv, env} // the last one wins
//	client, err := satchel.New(ctx, layers, nil)       // everything fetched once
//	group.Go(func() error { return client.Run(ctx) })  // kept fresh until ctx ends
//	key, ok := client.Bundle().Get("ANTHROPIC_API_KEY")
//
// Start with [New], [Client.Run] and [Client.Bundle]. [Client.Status] says how
// old each layer is and what ails it; [Client.Refresh] does not wait for the
// next refresh. Each layer has a clock of its own, and one that fails keeps its
// last good bundle: stale is better than empty.
//
// Package bundle has the types: what a secret, a bundle and a provider are.
// Open it next to use secrets. Package providers has the layers to choose from:
// the platform, files, the environment. Package vault is the platform's side.
package satchel
