package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/api"
)

const setupHelp = `Setup asks for the AI backend and the pool size, and reads the required secrets and
the integrations from the platform. It creates a token, writes the runner's two
lines to .env and the settings to runner.yaml. It does not connect while a required
secret is missing, and tells you where to add it. Flags answer the questions in
advance.

The files are in the folder satchel of the user's configuration folder, on Linux
~/.config/satchel, which only its owner can enter. All commands find them there.
--dir names another folder; do not choose one that jobs work in.

Creating the token needs an administrator's token. Setup takes it from
SATCHEL_ADMIN_TOKEN or prompts for it, sends it to the platform and does not store
it. The admin API is at the platform's URL followed by /admin, or at --admin.

Examples:
  satchel setup
  satchel setup --platform https://satchel.example.com --scope acme/web
  SATCHEL_ADMIN_TOKEN=... satchel setup --yes --platform https://satchel.example.com \
      --scope acme/web --backend local --pool 4
`

// adminTokenName is the variable with an administrator's token.
const adminTokenName = "SATCHEL_ADMIN_TOKEN"

// aiKinds are the kinds of keys that a local backend does without.
var aiKinds = []string{"ai", "anthropic", "azure-openai", "bedrock", "cohere", "deepseek", "gemini", "google-ai", "groq", "mistral", "openai", "openrouter", "vertex", "xai"}

// setup is the state that the steps of the command share.
type setup struct {
	*program
	home home
	yes  bool
	// result gets the JSON; everything else goes to standard error. It is nil
	// without --json.
	result io.Writer

	file     *envFile
	url      string
	settings settings
	admin    *admin.Client

	needs        api.Readiness
	integrations []api.Integration
	local        map[string]string // origins of local secrets, by name
}

func (p *program) setup(ctx context.Context, args []string) error {
	s := &setup{program: p}
	flags := p.flags("setup")
	where := flags.homeFlag()
	asJSON := flags.jsonFlag()
	flags.BoolVar(&s.yes, "yes", false, "ask no questions; use the flags, and defaults for the rest")
	url := flags.String("platform", "", "base `URL` of the platform")
	adminURL := flags.String("admin", "", "`URL` of the platform's admin API (default: the platform's URL followed by /admin)")
	scope := flags.String("scope", "", "`SCOPE` of the runner, such as acme/web")
	backend := flags.String("backend", "", "AI `BACKEND` of the jobs: platform (uses its key) or local (an installation that needs no key)")
	pool := flags.Int("pool", 0, "run up to `N` jobs concurrently")
	ca := flags.String("ca", "", "`FILE` with certificate authorities to trust in addition to the system's")
	if _, err := flags.parseNone(args); err != nil {
		return err
	}
	if flags.given("backend") {
		if err := checkBackend(*backend); err != nil {
			return flags.wrong("--backend: " + err.Error())
		}
	}
	if flags.given("pool") {
		if err := checkPool(strconv.Itoa(*pool)); err != nil {
			return flags.wrong("--pool: " + err.Error())
		}
	}
	if *asJSON {
		s.program, s.result = &program{in: p.in, lines: p.lines, out: p.err, err: p.err}, p.out
	}
	var err error
	if s.home, err = where.find(); err != nil {
		return err
	}
	if s.home == "" {
		_, err := standardHome()
		return err
	}
	if !s.yes && !s.interactive() {
		return flags.wrong("there is no terminal for questions; answer with flags and add --yes")
	}

	if err := s.begin(*url, settings{Admin: *adminURL, Scope: *scope, CA: *ca}); err != nil {
		return err
	}
	if err := s.reach(ctx); err != nil {
		return err
	}
	if err := s.chooseBackend(ctx, *backend); err != nil {
		return err
	}
	if err := s.choosePool(ctx, *pool); err != nil {
		return err
	}
	return s.reviewAndConnect(ctx)
}

// begin reads the files of an earlier setup. The flags in given override them.
func (s *setup) begin(url string, given settings) error {
	var err error
	if s.settings, err = s.home.readSettings(); err != nil {
		return err
	}
	if s.file, err = readEnvFile(s.home.env()); err != nil {
		return err
	}
	for _, name := range []string{tokenName, tokenFileName} {
		if _, set := os.LookupEnv(name); set {
			return fmt.Errorf("%s in the environment would override the token in %s; unset it first", name, s.file.path)
		}
	}
	known, _ := s.file.get(urlName)
	s.url = strings.TrimSuffix(cmp.Or(url, os.Getenv(urlName), known.Reveal()), "/")
	if set := os.Getenv(urlName); set != "" && strings.TrimSuffix(set, "/") != s.url {
		return fmt.Errorf("%s in the environment names another platform and would override %s; unset it first", urlName, s.file.path)
	}
	s.settings.Admin = cmp.Or(given.Admin, s.settings.Admin)
	s.settings.Scope = cmp.Or(given.Scope, s.settings.Scope)
	if s.settings.CA = cmp.Or(given.CA, s.settings.CA); s.settings.CA != "" {
		// The next command may start in another directory.
		s.settings.CA, err = filepath.Abs(s.settings.CA)
	}
	return err
}

// reach determines the platform, the scope and the administrator's token, and
// fetches the readiness and the integrations of the scope.
func (s *setup) reach(ctx context.Context) error {
	if err := s.findPlace(ctx); err != nil {
		return err
	}
	credential, err := s.adminCredential(ctx, s.settings.Scope)
	if err != nil {
		return err
	}
	if s.admin, err = s.settings.adminClient(s.url, credential); err != nil {
		return err
	}
	s.note("fetching the state of %s from %s", s.settings.Scope, s.url)
	if s.needs, err = s.admin.Readiness(ctx, s.settings.Scope); err != nil {
		return err
	}
	if s.integrations, err = s.admin.Integrations(ctx, s.settings.Scope); err != nil {
		return err
	}
	s.local = map[string]string{}
	for _, layer := range s.home.localLayers() {
		b, err := layer.Fetch(ctx, nil)
		if err != nil {
			return err
		}
		for secret := range b.All() {
			s.local[secret.Name] = secret.Origin.String()
		}
	}
	return nil
}

// findPlace asks for the URL and the scope, unless flags or files have them.
func (s *setup) findPlace(ctx context.Context) error {
	if s.yes && (s.url == "" || s.settings.Scope == "") {
		return &usageError{"missing platform or scope; give --platform and --scope"}
	}
	if s.url != "" {
		if err := providers.CheckURL(s.url); err != nil {
			return err
		}
	} else {
		url, err := s.ask(ctx, "URL of the platform", "", providers.CheckURL)
		if err != nil {
			return err
		}
		s.url = strings.TrimSuffix(url, "/")
	}
	if s.settings.Scope != "" {
		return nil
	}
	var err error
	s.settings.Scope, err = s.ask(ctx, "Scope of the runner, such as acme/web", "", func(answer string) error {
		if answer == "" {
			return errors.New("missing scope; enter one")
		}
		return nil
	})
	return err
}

// chooseBackend is step 1.
func (s *setup) chooseBackend(ctx context.Context, choice string) error {
	var keys, described []string
	for _, need := range s.needs.Items {
		if slices.Contains(aiKinds, need.Kind) {
			keys = append(keys, need.Name)
			described = append(described, need.Name+", "+s.state(need))
		}
	}
	fmt.Fprintf(s.out, "\n%s\n", s.paint(s.out, bold, "Step 1 of 3: AI backend"))
	fmt.Fprintf(s.out, "  %-8s  key from the platform: %s\n", backendPlatform, cmp.Or(strings.Join(described, "; "), "no key is required"))
	fmt.Fprintf(s.out, "  %-8s  an installation on this machine that needs no key\n", backendLocal)
	var err error
	switch {
	case choice != "":
	case s.yes || keys == nil:
		choice = s.settings.Backend
	default:
		if choice, err = s.ask(ctx, "Backend", s.settings.Backend, checkBackend); err != nil {
			return err
		}
	}
	s.settings.Backend, s.settings.Without = choice, nil
	if choice == backendLocal {
		s.settings.Without = keys
	}
	fmt.Fprintf(s.out, "  backend: %s\n", choice)
	return nil
}

func checkBackend(answer string) error {
	if answer != backendPlatform && answer != backendLocal {
		return fmt.Errorf("want %s or %s", backendPlatform, backendLocal)
	}
	return nil
}

// choosePool is step 2.
func (s *setup) choosePool(ctx context.Context, choice int) error {
	fmt.Fprintf(s.out, "\n%s\n", s.paint(s.out, bold, "Step 2 of 3: pool size"))
	switch {
	case choice != 0:
	case s.yes:
		choice = s.settings.Pool
	default:
		answer, err := s.ask(ctx, "Concurrent jobs", strconv.Itoa(s.settings.Pool), checkPool)
		if err != nil {
			return err
		}
		if choice, err = strconv.Atoi(answer); err != nil {
			return err
		}
	}
	s.settings.Pool = choice
	fmt.Fprintf(s.out, "  concurrent jobs: %d\n", choice)
	return nil
}

func checkPool(answer string) error {
	if n, err := strconv.Atoi(answer); err != nil || n < 1 || n > maxPool {
		return fmt.Errorf("want a number from 1 to %d", maxPool)
	}
	return nil
}

// missing returns the required secrets that neither the platform nor this machine
// has, except those that the backend does not need.
func (s *setup) missing() []api.ReadyItem {
	return slices.DeleteFunc(slices.Clone(s.needs.Items), func(need api.ReadyItem) bool {
		_, local := s.local[need.Name]
		return need.Status == api.ReadyPresent || local || slices.Contains(s.settings.Without, need.Name)
	})
}

// state describes a required secret in a few words.
func (s *setup) state(need api.ReadyItem) string {
	place, local := s.local[need.Name]
	switch {
	case slices.Contains(s.settings.Without, need.Name):
		return "not needed"
	case local:
		return "present, from " + place
	case need.Status == api.ReadyPresent:
		return "present, from " + need.From.String()
	}
	return string(need.Status)
}
