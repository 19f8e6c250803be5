package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/migrate"
)

const migrateHelp = `Migrate reads a .env or YAML file, compares it with the runner's secrets on the
platform, and shows a plan for each line. With --yes, or the answer yes at a
terminal, it stores the secrets on the platform, checks that the runner gets them
from there, and removes their lines from the file. A backup of the file stays
beside it. After a failure, run it again.

It needs an administrator's token, as setup does, and uses the same admin API.

Examples:
  satchel migrate .env
  satchel migrate .env --yes
  satchel migrate .env --exclude DATABASE_URL --include LICENSE --yes
  satchel migrate secrets.yaml --scope acme --json
`

func (p *program) migrate(ctx context.Context, args []string) error {
	flags := p.flags("migrate")
	where := flags.homeFlag()
	asJSON := flags.jsonFlag()
	yes := flags.Bool("yes", false, "apply the plan; without it, nothing is changed")
	scope := flags.String("scope", "", "`SCOPE` to move the secrets to (default: the runner's)")
	section := flags.String("section", "", "`KEY` of a YAML file that has the secrets")
	var opts migrate.Options
	include := flags.list("include", "an entry to move, whatever its class; may be repeated")
	exclude := flags.list("exclude", "an entry to leave in the file; may be repeated")
	overwrite := flags.list("overwrite", "an entry that replaces a different value on the platform; may be repeated")
	files, err := flags.parse(args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return flags.wrong("name one file, such as .env")
	}
	home, err := where.find()
	if err != nil {
		return err
	}
	settings, err := home.readSettings()
	if err != nil {
		return err
	}
	if *scope != "" {
		settings.Scope = *scope
	}
	platform, err := home.platform(settings)
	if err != nil {
		return err
	}
	file, err := migrate.ReadSection(files[0], *section)
	if err != nil {
		return err
	}
	p.note("fetching the runner's secrets from %s", platform.URL)
	if opts.Bundle, err = platform.Fetch(ctx, nil); err != nil {
		return err
	}
	if settings.Scope == "" {
		settings.Scope = opts.Bundle.Meta().Scope
	}
	opts.Include, opts.Exclude, opts.Overwrite = *include, *exclude, *overwrite
	plan, err := file.Plan(&opts)
	if err != nil {
		return err
	}
	if !*asJSON {
		fmt.Fprintln(p.out, plan)
	}
	sure, err := p.sure(ctx, plan, *yes, settings.Scope, *asJSON)
	if err != nil || !sure {
		if err == nil && *asJSON {
			err = p.printJSON(plan)
		}
		return err
	}

	credential, err := p.adminCredential(ctx, settings.Scope)
	if err != nil {
		return err
	}
	client, err := settings.adminClient(platform.URL, credential)
	if err != nil {
		return err
	}
	result, err := plan.Apply(ctx, migrate.To(client, settings.Scope), &migrate.ApplyOptions{
		Fetch:    func(ctx context.Context) (*bundle.Bundle, error) { return platform.Fetch(ctx, nil) },
		Progress: func(o migrate.Outcome) { p.note("%s: %s", o.Name, o.Status) },
	})
	if *asJSON {
		err = errors.Join(err, p.printJSON(result))
	} else {
		fmt.Fprintf(p.out, "\n%s\n", result)
	}
	if err == nil && result.Remaining() {
		err = exitCode(codeFailed)
	}
	return err
}

// sure reports whether to apply the plan. It asks at a terminal, unless yes is set.
func (p *program) sure(ctx context.Context, plan *migrate.Plan, yes bool, scope string, asJSON bool) (bool, error) {
	if plan.Empty() {
		return false, nil
	}
	if yes {
		return true, nil
	}
	if asJSON || !p.interactive() {
		p.note("nothing was changed; add --yes to apply the plan to scope %s", scope)
		return false, nil
	}
	sure, err := p.confirm(ctx, "\nApply this plan to scope "+scope, "no")
	if !sure {
		fmt.Fprintln(p.out, "nothing was changed")
	}
	return sure, err
}

// adminCredential returns an administrator's token from the environment or, at a
// terminal, from the prompt.
func (p *program) adminCredential(ctx context.Context, scope string) (bundle.Value, error) {
	if text := os.Getenv(adminTokenName); text != "" {
		return bundle.NewValue(text), nil
	}
	if !p.interactive() {
		return bundle.Value{}, fmt.Errorf("%s is not set; set it to a token of an administrator of %s", adminTokenName, scope)
	}
	text, err := p.askHidden(ctx, "Administrator's token")
	if err == nil && text == "" {
		err = errors.New("missing administrator's token; nothing was changed")
	}
	return bundle.NewValue(text), err
}
