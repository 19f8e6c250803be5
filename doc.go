// Package satchel keeps a program's secrets fresh. Embed it in a runner: it
// fetches bundles of secrets from several layers, merges them name by name so that
// the last layer wins, and holds the result in memory.
//
//	layers := []bundle.Provider{platform, dotenv, env} // the last one wins
//	client, err := satchel.New(ctx, layers, nil)       // fetch every layer once
//	group.Go(func() error { return client.Run(ctx) })  // refresh until ctx is done
//	key, ok := client.Bundle().Get("ANTHROPIC_API_KEY")
//
// Start with [New], [Client.Run] and [Client.Bundle]. Each layer has its own
// schedule, and a layer that fails keeps its last good bundle: stale is better than
// empty. Then, as needed:
//
//   - [Check] reports before the start whether everything is ready, and how to fix
//     it if not;
//   - [Options.Require] names the secrets that the program needs;
//   - [Derive] builds a value from secrets, such as a database connection, and
//     rebuilds it when they are rotated;
//   - [Client.Changes] yields changes of the secrets;
//   - [Options.Redactor] masks secrets in the program's logs;
//   - [Client.Refresh] fetches all layers immediately;
//   - [Client.Status] reports each layer's age and last error.
//
// Package bundle has the types: secrets, bundles and the provider interface. Read
// it next to use secrets. Package providers has the layers to choose from: the
// platform, files, the environment. Package job runs programs with secrets.
// Package bundle/redact masks secrets, package migrate moves local secrets to the
// platform, and package vault is the server side of the platform.
package satchel
