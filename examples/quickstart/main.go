// Command quickstart shows Satchel's main use from end to end, with real components
// in one process: a platform with a vault in a SQLite file, served over TLS on
// loopback, and a runner that starts with one token and runs a job with masked
// output. It needs no setup and no network, checks every step, and exits with 0
// only if all checks pass.
//
//	go run ./examples/quickstart
//
// Read the steps below in order; platform.go sets up the platform.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault"
)

// These values are made up. The last step checks that the program neither prints nor
// stores any of them in plaintext.
const (
	apiKey        = "sk-ant-api03-quickstart-first-4fGk2Lw9"
	apiKeyRotated = "sk-ant-api03-quickstart-second-Zq7RtY1m"
	databaseURL   = "postgres://app:quickstart-Vb3nM8xK@db.internal:5432/app"
	webhookSecret = "whsec_quickstart-platform-9sKd02Lm"
	webhookLocal  = "whsec_quickstart-laptop-77aPqW3e"
)

// childFlag makes the program act as the job of step 5.
const childFlag = "-job"

func main() {
	if len(os.Args) == 2 && os.Args[1] == childFlag {
		printEnvironment()
		return
	}
	// The runner of step 4 reads its settings from .env; environment variables would
	// take precedence.
	os.Unsetenv("SATCHEL_API_URL")
	os.Unsetenv("SATCHEL_RUNNER_TOKEN")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var printed bytes.Buffer
	d := &demo{out: io.MultiWriter(os.Stdout, &printed), printed: &printed, began: time.Now()}
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// demo is the state that the steps share.
type demo struct {
	out     io.Writer
	printed *bytes.Buffer // a copy of the output
	began   time.Time
	step    int
}

func (d *demo) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "satchel-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	d.title("A platform starts with TLS, a vault in a SQLite file, and a key in a key file")
	p, err := startPlatform(ctx, dir)
	if err != nil {
		return err
	}
	defer p.close()
	d.say("serving %s, keys wrapped by %s", p.url, p.kek)

	d.title("An administrator stores three secrets, and sees only previews and metadata")
	admin := vault.WithActor(ctx, "ada")
	for name, value := range map[string]string{"ANTHROPIC_API_KEY": apiKey, "DATABASE_URL": databaseURL, "WEBHOOK_SECRET": webhookSecret} {
		if _, err := p.vault.Put(admin, "acme", name, bundle.NewValue(value), nil); err != nil {
			return err
		}
	}
	if err := d.showSecrets(ctx, p.vault); err != nil {
		return err
	}

	d.title("The administrator issues a token for acme/web; a runner needs only these two lines")
	token, info, err := p.vault.IssueToken(admin, "acme/web", &vault.TokenOptions{Label: "quickstart", Expires: time.Now().Add(90 * 24 * time.Hour)})
	if err != nil {
		return err
	}
	lines := fmt.Sprintf("SATCHEL_API_URL=%s\nSATCHEL_RUNNER_TOKEN=%s\n", p.url, token.Reveal())
	d.say("%s", strings.TrimSpace(lines))

	d.title("A runner starts with these lines and a .env file that shadows one value")
	env := filepath.Join(dir, ".env")
	if err := os.WriteFile(env, []byte(lines+"WEBHOOK_SECRET='"+webhookLocal+"' # mine\n"), 0o600); err != nil {
		return err
	}
	platform, err := providers.PlatformFromEnv(env)
	if err != nil {
		return err
	}
	platform.Client = p.client // trusts the platform's own certificate
	changes := make(chan bundle.Diff, 10)
	client, err := satchel.New(ctx, []bundle.Provider{platform, &providers.Dotenv{Path: env}}, &satchel.Options{
		Logger:   p.log,
		Observer: satchel.Observer{Changed: func(diff bundle.Diff) { changes <- diff }},
	})
	if err != nil {
		return err
	}
	running, stopRunning := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- client.Run(running) }()
	defer func() { stopRunning(); <-ended }()
	if err := d.showBundle(client.Bundle(), dir); err != nil {
		return err
	}

	d.title("A job gets only the secrets that it names, and its output is masked")
	if err := d.runJob(ctx, client, apiKey); err != nil {
		return err
	}

	d.title("The key is rotated on the platform; the running runner picks it up")
	rotated := time.Now()
	if _, err := p.vault.Put(admin, "acme", "ANTHROPIC_API_KEY", bundle.NewValue(apiKeyRotated), nil); err != nil {
		return err
	}
	if err := d.await(ctx, changes, "changed ANTHROPIC_API_KEY"); err != nil {
		return err
	}
	d.say("the runner has the new key after %s", time.Since(rotated).Round(time.Millisecond))
	key, _ := client.Bundle().Get("ANTHROPIC_API_KEY")
	if err := expect("version of the key in the runner", key.Version, 2); err != nil {
		return err
	}
	if err := d.runJob(ctx, client, apiKeyRotated); err != nil {
		return err
	}
	d.say("the administrator sees:")
	if err := d.showSecrets(ctx, p.vault); err != nil {
		return err
	}

	d.title("The token is revoked; the runner drops the platform's secrets immediately")
	if err := p.vault.RevokeToken(admin, info.ID); err != nil {
		return err
	}
	if err := d.await(ctx, changes, "removed ANTHROPIC_API_KEY, DATABASE_URL"); err != nil {
		return err
	}
	if err := d.showRevoked(ctx, client, platform, token); err != nil {
		return err
	}

	d.title("Neither the vault's files nor the output above contain plaintext")
	if err := d.grep(dir, env, token); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nAll steps passed their checks in %s.\n", time.Since(d.began).Round(time.Millisecond))
	return nil
}

// title begins a step.
func (d *demo) title(text string) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s  [%s]\n\n", d.step, text, time.Since(d.began).Round(time.Millisecond))
}

// say prints indented lines.
func (d *demo) say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Fprintf(d.out, "   %s\n", strings.TrimSuffix(line, "\n"))
	}
}

// table prints rows of tab-separated cells.
func (d *demo) table(rows ...string) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	for line := range strings.Lines(text.String()) {
		d.say("%s", strings.TrimRight(line, " \n"))
	}
}

// showSecrets prints the administrator's view of the secrets.
func (d *demo) showSecrets(ctx context.Context, v *vault.Vault) error {
	infos, err := v.List(ctx, "acme")
	if err != nil {
		return err
	}
	rows := []string{"NAME\tPREVIEW\tVERSION\tCREATED\tROTATED\tLAST USED\tAUTHOR"}
	for _, info := range infos {
		if !strings.Contains(info.Preview, "****") {
			return fmt.Errorf("the preview of %s is not masked", info.Name)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s\t%s", info.Name, info.Preview, info.Version,
			clock(info.Created), clock(info.Rotated), clock(info.LastUsed), info.Author))
	}
	d.table(rows...)
	return expect("secrets in the vault", len(infos), 3)
}

// clock returns the time of day, or a dash for the zero time.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05.000")
}

// showBundle prints the runner's secrets with their origins.
func (d *demo) showBundle(b *bundle.Bundle, dir string) error {
	short := strings.NewReplacer(dir+string(filepath.Separator), "")
	rows := []string{"NAME\tPREVIEW\tFROM\tSHADOWS"}
	for s := range b.All() {
		shadows := "-"
		if trace := b.Trace(s.Name); len(trace) > 1 {
			shadows = trace[1].String()
		}
		rows = append(rows, short.Replace(fmt.Sprintf("%s\t%s\t%s\t%s", s.Name, s.Value.Preview(), s.Origin, shadows)))
	}
	d.table(rows...)
	if s, _ := b.Get("WEBHOOK_SECRET"); !s.Value.Equal(bundle.NewValue(webhookLocal)) {
		return errors.New("the local value did not win")
	}
	return errors.Join(expect("secrets in the runner", b.Len(), 3), expect("shadowed values", len(b.Shadowed()), 1))
}

// runJob runs this program again as a job with two of the secrets.
func (d *demo) runJob(ctx context.Context, client *satchel.Client, want string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	code, err := job.Job{
		Client: client, Path: self, Args: []string{childFlag},
		Secrets: []string{"ANTHROPIC_API_KEY", "WEBHOOK_SECRET"},
		Stdout:  &out, Stderr: &out,
	}.Run(ctx)
	if err != nil {
		return err
	}
	d.say("%s", out.String())
	for name, value := range map[string]string{"ANTHROPIC_API_KEY": want, "WEBHOOK_SECRET": webhookLocal} {
		line := fmt.Sprintf("%s=[%s] (%s)\n", name, name, bundle.NewValue(value).Preview())
		if !strings.Contains(out.String(), line) {
			return fmt.Errorf("the job did not get %s, or its output is not masked", name)
		}
	}
	if strings.Contains(out.String(), "SATCHEL") || strings.Contains(out.String(), "DATABASE_URL") {
		return errors.New("the job got more than its two secrets")
	}
	return expect("exit code of the job", code, 0)
}

// printEnvironment is the job. It prints its variables, with the preview of each
// value, except those that every job gets, such as PATH.
func printEnvironment() {
	fmt.Println("job: my environment is")
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(job.DefaultPassEnv(), name) {
			fmt.Printf("  %s=%s (%s)\n", name, value, bundle.NewValue(value).Preview())
		}
	}
}

// await waits until the runner reports a change.
func (d *demo) await(ctx context.Context, changes <-chan bundle.Diff, want string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case diff := <-changes:
		d.say("the runner's changes: %s", diff)
		if diff.String() != want {
			return fmt.Errorf("the runner's changes are %q; want %q", diff, want)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the change %q in the runner: %w", want, ctx.Err())
	}
}

// showRevoked prints the runner's status, and the errors of new runners with the
// revoked token and with a mistyped one.
func (d *demo) showRevoked(ctx context.Context, client *satchel.Client, platform *providers.Platform, token bundle.Value) error {
	status := client.Status()
	d.say("the runner's state is %s, and it keeps only its local secrets:", status.State)
	for s := range client.Bundle().All() {
		d.say("  %s from %s", s.Name, filepath.Base(s.Origin.Location))
	}
	_, err := platform.Fetch(ctx, nil)
	d.say("a new runner with this token fails: %v", err)
	refused, ok := errors.AsType[*providers.StatusError](err)
	if !ok || refused.Reason != "revoked" {
		return errors.New("the revoked token was not rejected as revoked")
	}
	mistyped := &providers.Platform{URL: platform.URL, Token: func(context.Context) (bundle.Value, error) {
		return bundle.NewValue(token.Reveal()[:64] + "?"), nil
	}}
	_, err = mistyped.Fetch(ctx, nil)
	d.say("one with a mistyped token fails before any request: %v", err)
	if err == nil {
		return errors.New("a mistyped token was accepted")
	}
	return errors.Join(expect("state", status.State, satchel.Revoked), expect("secrets left", client.Bundle().Len(), 1))
}

// grep checks that no file except the runner's .env contains a value or the token, and
// that the output contains no value.
func (d *demo) grep(dir, env string, token bundle.Value) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if path == env {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if holdsPlaintext(content) || bytes.Contains(content, []byte(token.Reveal())) {
			return fmt.Errorf("%s contains plaintext", entry.Name())
		}
		d.say("%s: %d bytes, without any value or the token", entry.Name(), len(content))
	}
	if holdsPlaintext(d.printed.Bytes()) {
		return errors.New("the output contains plaintext")
	}
	d.say("output: %d bytes, without any value", d.printed.Len())
	return nil
}

func holdsPlaintext(content []byte) bool {
	for _, value := range []string{apiKey, apiKeyRotated, databaseURL, webhookSecret, webhookLocal} {
		if bytes.Contains(content, []byte(value)) {
			return true
		}
	}
	return false
}

// expect returns an error if got differs from want.
func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}
