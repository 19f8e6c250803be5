// Package migrate moves the secrets of a local file to a platform: it reads a
// .env or YAML file, says of each entry what it is and what will happen, puts
// the secrets into a scope of the platform and rewrites the file without their
// lines.
//
//	file, err := migrate.Read(".env")
//	plan, err := file.Plan(&migrate.Options{Bundle: b}) // b is what the runner has from the platform
//	fmt.Println(plan)                                   // the dry run: nothing has happened yet
//	result, err := plan.Apply(ctx, migrate.To(client, "acme/web"), nil)
//
// Local values win (docs/precedence.md), so nothing changes for a runner until
// a line goes, and a line goes only when the platform has its value. What fails
// half-way leaves the file as it was, or without what is on the platform
// already; the same call again does the rest. docs/migrate.md is for the people
// who do it.
package migrate
