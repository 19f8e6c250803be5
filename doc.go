// Package satchel keeps a program's secrets fresh. It is what a runner embeds:
// it fetches bundles of secrets from several layers, lets the nearer layer win
// name by name, and holds the result in memory.
//
//	layers := []bundle.Provider{platform, dotenv, env} // the last one wins
//	client, err := satchel.New(ctx, layers, nil)       // everything fetched once
//	group.Go(func() error { return client.Run(ctx) })  // kept fresh until ctx ends
//	key, ok := client.Bundle().Get("ANTHROPIC_API_KEY")
//
// Start with [New], [Client.Run] and [Client.Bundle]. Each layer has a clock of
// its own, and one that fails keeps its last good bundle: stale is better than
// empty. Then, as needed:
//
//   - [Check] says before the start whether all is ready, and what to do if not;
//   - [Options.Require] names what the program cannot do without;
//   - [Derive] builds a value from secrets, such as a database connection, and
//     builds it anew when they are rotated;
//   - [Client.Changes] yields what changes;
//   - [Options.Redactor] masks secrets in the program's own logs;
//   - [Client.Refresh] does not wait for the next refresh, and [Client.Status]
//     says how old each layer is and what ails it.
//
// Package bundle has the types: what a secret, a bundle and a provider are.
// Open it next to use secrets. Package providers has the layers to choose from:
// the platform, files, the environment. Package job runs programs with secrets.
// Package bundle/redact masks secrets, package migrate moves local ones to the
// platform, and package vault is the platform's side.
package satchel
