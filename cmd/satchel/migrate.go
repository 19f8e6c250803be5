package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/migrate"
)

const migrateHelp = `It reads a .env or YAML file, compares it with what the runner gets from the
platform, and shows what would happen to each line. With --yes, or the answer yes
at a terminal, it puts the secrets into the platform, makes sure that the runner
gets them from there, and takes their lines out of the file. A copy of the file as
it was stays beside it. What fails half-way can be run again.

It takes an administrator's credential, as setup does, and asks the admin API where
setup did: at the platform's URL and /admin, unless --admin named another place.

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
	yes := flags.Bool("yes", false, "do it; without, nothing is changed")
	scope := flags.String("scope", "", "the `SCOPE` to move the secrets into (default: the runner's)")
	section := flags.String("section", "", "the `KEY` of a YAML file under which the secrets are")
	var opts migrate.Options
	include := flags.list("include", "an entry to move, whatever it looks like; may be repeated")
	exclude := flags.list("exclude", "an entry to leave in the file; may be repeated")
	overwrite := flags.list("overwrite", "an entry that takes the place of another value on the platform; may be repeated")
	files, err := flags.parse(args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return flags.wrong("name one file, such as .env")
	}
	settings, err := where.readSettings()
	if err != nil {
		return err
	}
	if *scope != "" {
		settings.Scope = *scope
	}
	platform, err := where.platform(settings)
	if err != nil {
		return err
	}
	file, err := migrate.ReadSection(files[0], *section)
	if err != nil {
		return err
	}
	p.note("asking %s what the runner has", platform.URL)
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

// sure reports whether the plan is to be carried out.
func (p *program) sure(ctx context.Context, plan *migrate.Plan, yes bool, scope string, asJSON bool) (bool, error) {
	if plan.Empty() {
		return false, nil
	}
	if yes {
		return true, nil
	}
	if asJSON || !p.interactive() {
		p.note("nothing was changed; with --yes this is done, into scope %s", scope)
		return false, nil
	}
	sure, err := p.confirm(ctx, "\nDo this, into scope "+scope, "no")
	if !sure {
		fmt.Fprintln(p.out, "nothing was changed")
	}
	return sure, err
}

// adminCredential returns the credential of an administrator: from the
// environment, or from somebody at the terminal.
func (p *program) adminCredential(ctx context.Context, scope string) (bundle.Value, error) {
	if text := os.Getenv(adminTokenName); text != "" {
		return bundle.NewValue(text), nil
	}
	if !p.interactive() {
		return bundle.Value{}, fmt.Errorf("%s is not set; it has the credential of an administrator of %s", adminTokenName, scope)
	}
	text, err := p.askHidden(ctx, "Administrator's token")
	if err == nil && text == "" {
		err = errors.New("no administrator's token was given; nothing was changed")
	}
	return bundle.NewValue(text), err
}
