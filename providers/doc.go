// Package providers holds the sources of secrets that need nothing but the
// standard library. Each is a [bundle.Provider]: it yields a bundle whenever it
// is asked, and caches nothing; package satchel asks on time and keeps the
// answers.
//
//   - [Platform]: the platform that this runner belongs to, shown one token
//   - [Env]: variables of this process's environment
//   - [Dotenv]: a .env file
//   - [Static]: a list that the program has already
//   - [Func]: any function
//
// Beside this one, packages github and bitbucket mint short-lived git tokens,
// package yamlfile reads YAML files, and package hashivault reads from HashiCorp
// Vault.
//
// Layers are given in rising precedence: of two secrets with one name the
// later layer's wins, even if it is empty. Local values go last, so that they
// win over the platform's:
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
// The platform and the files are waited on, so that a change arrives in a second
// or two; the environment of a process does not change by itself.
//
// A program reads only the files and variables that it names here. Local files
// usually hold the runner's own settings too, its token above all: Env, Dotenv,
// Static and yamlfile leave out every name that starts with SATCHEL_, so that
// these reach no job.
//
// A provider of one's own implements [bundle.Provider]; package providertest
// checks it in one call.
package providers
