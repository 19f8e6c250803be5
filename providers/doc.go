// Package providers has the providers that need nothing but the standard
// library. Each is a [bundle.Provider]: every call of Fetch reads the source,
// and nothing is cached. Package satchel schedules the fetches and keeps the
// bundles.
//
//   - [Platform]: the platform that this runner belongs to, with a runner token
//   - [Env]: variables of this process's environment
//   - [Dotenv]: a .env file
//   - [Static]: a list in the program
//   - [Func]: any function
//
// Packages github and bitbucket mint short-lived git tokens, package yamlfile
// reads YAML files, and package hashivault reads from HashiCorp Vault.
//
// Layers are listed in rising precedence: a later layer shadows secrets of the
// same name in earlier ones, even with an empty value. Local layers go last, so
// that they shadow the platform:
//
//	platform, err := providers.PlatformFromEnv(".env")
//	…
//	layers := []bundle.Provider{
//		platform,
//		&yamlfile.File{Path: "config.yaml", Optional: true},
//		&providers.Dotenv{Path: ".env", Optional: true},
//		&providers.Env{Names: []string{"ANTHROPIC_API_KEY"}},
//	}
//	c, err := satchel.New(ctx, layers, nil)
//
// [TokenFile] reads the runner token from a file, for each request.
//
// Platform and the file providers implement [bundle.Waiter], so a change arrives
// within a second or two. A process's environment does not change by itself.
//
// A program reads only the files and variables that it lists. Local files often
// hold the runner's settings too, including its token. Env, Dotenv, Static and
// yamlfile therefore omit every name that starts with SATCHEL_, so that no job
// receives these settings.
//
// To add another source, implement [bundle.Provider] and check it with package
// providertest.
package providers
