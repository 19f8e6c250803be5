// Package migrate moves the secrets of a local file to a platform. It reads a .env or
// YAML file, classifies its entries, shows the planned actions, uploads the secrets
// to a scope of the platform and rewrites the file without their lines.
//
//	file, err := migrate.Read(".env")
//	plan, err := file.Plan(&migrate.Options{Bundle: b}) // b is the runner's bundle
//	fmt.Println(plan)                                   // the dry run: nothing has changed yet
//	result, err := plan.Apply(ctx, migrate.To(client, "acme/web"), nil)
//
// Local values take precedence (docs/precedence.md), so nothing changes for a runner
// until a line is removed, and a line is removed only when the platform has its
// value. After a failure the file is unchanged, or lacks only values that are on the
// platform; the same calls finish the migration. docs/migrate.md is the user's guide.
package migrate
