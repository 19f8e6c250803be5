package job

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// plan is the input of one process of a job.
type plan struct {
	bundle *bundle.Bundle // the source of env
	env    []string
}

// A masker is a Source that keeps a redactor up to date. A *satchel.Client is one.
type masker interface {
	Mask(r *redact.Redactor) (stop func())
}

// update sets the plan from the client's bundle, writes the job's files and masks
// the new values. If it fails, the plan does not change, nor do the files unless
// writing one of them failed.
func (r *run) update() error {
	b := r.Client.Bundle()
	for _, name := range r.names {
		if s, ok := b.Get(name); ok {
			r.mask(s) // before anything can print it
		}
	}
	if _, ok := r.Client.(masker); !ok {
		r.redactor.Update(b)
	}
	if r.plan.env != nil && !changed(r.plan.bundle, b, r.names) {
		return nil
	}
	if err := b.Require(r.names...); err != nil {
		return err
	}
	for _, name := range r.names {
		if err := checkSecret(secretOf(b, name)); err != nil {
			return err
		}
	}
	if err := r.serve(); err != nil {
		return err
	}
	env, err := r.environment(b)
	if err != nil {
		return err
	}
	if err := r.limits.checkSize(r.Path, r.Args, env); err != nil {
		return err
	}
	if err := r.writeFiles(b); err != nil {
		return err
	}
	r.plan = plan{bundle: b, env: env.lines()}
	return nil
}

// secretOf returns a secret that b has.
func secretOf(b *bundle.Bundle, name string) bundle.Secret {
	s, _ := b.Get(name)
	return s
}

// checkSecret refuses a secret that must not reach a job in any way.
func checkSecret(s bundle.Secret) error {
	if s.Delivery == bundle.DeliverBroker {
		return fmt.Errorf("the secret %s has delivery by broker, which is not supported yet; deliver it by environment or file", s.Name)
	}
	if err := checkText(s.Value.Reveal()); err != nil {
		return fmt.Errorf("the secret %s %w", s.Name, err)
	}
	return nil
}

// asFile reports whether the job gets the secret as a file.
func (r *run) asFile(s bundle.Secret) bool {
	return s.Delivery == bundle.DeliverFile || slices.Contains(r.Files, s.Name)
}

// environment returns the variables of a process, in rising precedence.
func (r *run) environment(b *bundle.Bundle) (environment, error) {
	env := slices.Clone(r.plain)
	for _, name := range r.Secrets {
		s := secretOf(b, name)
		if !r.asFile(s) {
			env.set(name, s.Value.Reveal())
			continue
		}
		variable := name + "_FILE"
		if slices.Contains(r.Secrets, variable) {
			return nil, fmt.Errorf("the secret %s is delivered as a file with its path in %s, but the job also has a secret of that name; rename one", name, variable)
		}
		if err := r.checkRisky([]string{variable}); err != nil {
			return nil, err
		}
		if err := r.openDir(); err != nil {
			return nil, err
		}
		env.set(variable, r.dir.file(name))
	}
	for _, v := range r.served {
		env.set(v.name, v.value)
	}
	return env, nil
}

// writeFiles writes the files of b's secrets, and updates those of secrets that were
// files before: a running program may still read them.
func (r *run) writeFiles(b *bundle.Bundle) error {
	names := slices.Collect(maps.Keys(r.dir.files))
	for _, name := range r.Secrets {
		if r.asFile(secretOf(b, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := r.dir.write(secretOf(b, name)); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the socket, and configures git, on the first call.
func (r *run) serve() error {
	if r.served != nil || !r.Socket && len(r.Git) == 0 {
		return nil
	}
	if err := r.openDir(); err != nil {
		return err
	}
	var served environment
	if len(r.Git) > 0 {
		helper := r.GitHelper
		if len(helper) == 0 {
			self, err := os.Executable()
			if err != nil {
				return &bundle.Fault{
					Problem: fmt.Sprintf("finding this executable, the git credential helper: %v", err),
					Setting: "job.Job.GitHelper", Fix: "set {job.Job.GitHelper}", Err: err,
				}
			}
			helper = []string{self, "git-credential"}
		}
		lines, err := gitEnviron(r.Git, helper)
		if err != nil {
			return err
		}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, "=")
			served.set(name, value)
		}
	}
	names := gitSecrets(r.Git)
	if r.Socket {
		names = r.names
	}
	server, err := socket.Serve(r.dir.path, names, r.lookup, r.Logger)
	if err != nil {
		return err
	}
	r.socket = server
	served.set(socket.Variable, server.Path())
	r.served = served
	return served.check()
}

// lookup returns the current value of a secret, for the socket. It is safe for
// concurrent use.
func (r *run) lookup(name string) (bundle.Secret, bool) {
	s, ok := r.Client.Bundle().Get(name)
	if !ok {
		return bundle.Secret{}, false
	}
	if err := checkSecret(s); err != nil {
		r.Logger.Warn("refused a secret that the job requested", "path", r.Path, "error", err)
		return bundle.Secret{}, false
	}
	r.mask(s)
	return s, true
}

// mask masks the value of s in the job's output from now on.
func (r *run) mask(s bundle.Secret) {
	for _, name := range r.addMask(s) {
		r.Logger.Warn("a secret of the job is too short to mask in its output; use a longer one", "path", r.Path, "secret", name)
	}
}

// addMask adds s to the redactor and returns the names that are newly known to be
// too short to mask.
func (r *run) addMask(s bundle.Secret) (short []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.masked[s.Name]; ok && last.Equal(s.Value) {
		return nil
	}
	r.masked[s.Name] = s.Value
	r.redactor.Add(s)
	for _, name := range r.redactor.Unmaskable() {
		if !r.short[name] && slices.Contains(r.names, name) {
			r.short[name] = true
			short = append(short, name)
		}
	}
	return short
}

// openDir creates the job's directory if it does not exist yet.
func (r *run) openDir() error {
	if r.dir.root != nil {
		return nil
	}
	if err := r.dir.open(places()...); err != nil {
		return err
	}
	r.guard.directory(r.dir.path)
	return nil
}
