// Command kmsswap runs the same operations with any key service, selected by a flag:
// it checks the key, seals and opens values, moves a vault from a key file to the
// selected key and back, and counts the calls of each step. It checks every step, and
// exits with 0 only if all checks pass.
//
//	go run ./examples/kmsswap                # a key in a new file; no setup, no network
//	go run ./examples/kmsswap -kek fake      # the key service for tests
//	go run ./examples/kmsswap -kek aws -key arn:aws:kms:…:key/…
//	go run ./examples/kmsswap -kek gcp -key projects/…/cryptoKeys/…
//	go run ./examples/kmsswap -kek hashivault -key satchel
//
// The key services differ only in kek.go, by one constructor call each. swap_test.go
// swaps them in tests.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kmsswap:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := parse(args, out)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "satchel-kmsswap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.dir = dir

	chosen, err := services[c.service](ctx, c)
	if err != nil {
		return err
	}
	file, err := local.GenerateFile(filepath.Join(dir, "first-kek"))
	if err != nil {
		return err
	}
	d := &demo{out: out, storage: memstore.New()}
	return d.run(ctx, counted{chosen, &d.calls}, counted{file, &d.calls})
}

// counted is a KEK that counts its calls. A call may take several requests: clients
// retry, and the key of HashiCorp Vault is verified at the first Wrap.
type counted struct {
	keyring.KEK
	calls *atomic.Int64
}

func (k counted) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	k.calls.Add(1)
	return k.KEK.Wrap(ctx, dek, c)
}

func (k counted) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	k.calls.Add(1)
	return k.KEK.Unwrap(ctx, w, c)
}

// demo is the state that the steps share.
type demo struct {
	out     io.Writer
	calls   atomic.Int64 // of all key services
	storage *memstore.Store
	token   bundle.Value // of a runner
}

// These values are made up.
var secrets = map[string]bundle.Value{
	"ANTHROPIC_API_KEY": bundle.NewValue("sk-ant-api03-kmsswap-made-up-4fGk2Lw9"),
	"DATABASE_URL":      bundle.NewValue("postgres://app:kmsswap-Vb3nM8xK@db.internal:5432/app"),
	"WEBHOOK_SECRET":    bundle.NewValue("whsec_kmsswap-9sKd02Lm"),
}

func (d *demo) run(ctx context.Context, chosen, file keyring.KEK) error {
	d.say("The key is %s", chosen.ID())
	for _, stage := range []struct {
		title   string
		primary keyring.KEK
		retired []keyring.KEK
		do      func(context.Context, *keyring.Keyring) error
	}{
		{"The key without a vault", chosen, nil, d.envelope},
		{"A vault in memory with its key in a file", file, nil, d.fill},
		{"Rotation: the selected key is primary, the file's key is retired", chosen, []keyring.KEK{file}, d.rotate},
		{"A new process with only the selected key", chosen, nil, d.serve},
		{"Rotation back: the file's key is primary, the selected key is retired", file, []keyring.KEK{chosen}, d.rotate},
		{"A new process with only the file's key", file, nil, d.serve},
	} {
		d.say("\n%s", stage.title)
		keys, err := keyring.New(stage.primary, &keyring.Options{Retired: stage.retired})
		if err != nil {
			return err
		}
		if err := stage.do(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

// envelope seals and opens one value, without a vault.
func (d *demo) envelope(ctx context.Context, keys *keyring.Keyring) error {
	secret := []byte("a value in a separate file")
	acme := keyring.Context{"purpose": "backup", "tenant": "acme"}
	var sealed []byte
	return d.steps(
		step{"Check: wrap, unwrap, verify the context", 3, func() error {
			return keys.Check(ctx)
		}},
		step{"seal an envelope", 1, func() (err error) {
			sealed, err = keys.SealEnvelope(ctx, secret, acme)
			return err
		}},
		step{"open it with a cold cache", 1, func() error {
			return opens(ctx, keys, sealed, acme, secret)
		}},
		step{"open it ten more times", 0, func() error {
			for range 10 {
				if err := opens(ctx, keys, sealed, acme, secret); err != nil {
					return err
				}
			}
			return nil
		}},
		step{"fail to open it for another tenant", 1, func() error {
			globex := keyring.Context{"purpose": "backup", "tenant": "globex"}
			return expectClass(opens(ctx, keys, sealed, globex, secret), keyring.ErrTampered)
		}},
	)
}

func opens(ctx context.Context, keys *keyring.Keyring, sealed []byte, c keyring.Context, want []byte) error {
	got, err := keys.OpenEnvelope(ctx, sealed, c)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the opened value differs from the sealed one")
	}
	return err
}

// fill stores the secrets of a new tenant, and issues a runner token.
func (d *demo) fill(ctx context.Context, keys *keyring.Keyring) error {
	var v *vault.Vault
	return d.steps(
		step{"start the vault, which runs Check", 3, func() (err error) {
			v, err = d.vault(ctx, keys)
			return err
		}},
		step{"put three secrets of a new tenant", 2, func() error {
			for name, value := range secrets {
				if _, err := v.Put(ctx, "acme", name, value, nil); err != nil {
					return err
				}
			}
			return nil
		}},
		step{"issue a token", 0, func() (err error) {
			d.token, _, err = v.IssueToken(ctx, "acme/web", nil)
			return err
		}},
	)
}

// rotate moves the tenant's data key to the primary of keys.
func (d *demo) rotate(ctx context.Context, keys *keyring.Keyring) error {
	why, err := stale(ctx, d.storage, keys, "acme")
	if err != nil {
		return err
	}
	if why == "" {
		return errors.New("no record is stale, although its key is retired")
	}
	d.say("  stale: %s", why)
	var v *vault.Vault
	return d.steps(
		step{"start the vault, which runs Check", 3, func() (err error) {
			v, err = d.vault(ctx, keys)
			return err
		}},
		step{"re-wrap the data key", 2, func() error {
			report, err := v.Rewrap(ctx)
			if err == nil && report.Rewrapped != 1 {
				err = fmt.Errorf("%d key records were re-wrapped; want 1", report.Rewrapped)
			}
			return err
		}},
		step{"check that no record is stale", 0, func() error {
			why, err := stale(ctx, d.storage, keys, "acme")
			if err == nil && why != "" {
				err = errors.New(why)
			}
			return err
		}},
	)
}

// serve serves the tenant's bundle from a process that has just started.
func (d *demo) serve(ctx context.Context, keys *keyring.Keyring) error {
	var v *vault.Vault
	bootstrap := func() error {
		b, err := v.Bootstrap(ctx, d.token, nil)
		if err != nil {
			return err
		}
		for name, value := range secrets {
			if got, ok := b.Get(name); !ok || !got.Value.Equal(value) {
				return fmt.Errorf("%s has a different value than was put", name)
			}
		}
		return nil
	}
	return d.steps(
		step{"start the vault, which runs Check", 3, func() (err error) {
			v, err = d.vault(ctx, keys)
			return err
		}},
		step{"serve a bundle of three with a cold cache", 1, bootstrap},
		step{"serve ten more bundles", 0, func() error {
			for range 10 {
				if err := bootstrap(); err != nil {
					return err
				}
			}
			return nil
		}},
	)
}

// vault returns a vault on the shared storage, as in a newly started process.
func (d *demo) vault(ctx context.Context, keys *keyring.Keyring) (*vault.Vault, error) {
	return vault.New(ctx, d.storage, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler)})
}

// stale returns the reason why a data key of a tenant must be re-wrapped, or "".
func stale(ctx context.Context, s store.Store, keys *keyring.Keyring, tenant string) (why string, err error) {
	rows, err := s.Read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return "", err
	}
	for _, record := range rows.Keys {
		if why, stale := keys.Stale(record); stale {
			return why, nil
		}
	}
	return "", nil
}

// expectClass returns nil if err is of the given class.
func expectClass(err, class error) error {
	if errors.Is(err, class) {
		return nil
	}
	return fmt.Errorf("got %v, want %w", err, class)
}

// A step is an operation, with the number of calls to key services that it takes.
type step struct {
	what  string
	calls int64
	do    func() error
}

// steps runs steps and prints the calls and the time of each.
func (d *demo) steps(steps ...step) error {
	for _, s := range steps {
		calls, began := d.calls.Load(), time.Now()
		if err := s.do(); err != nil {
			d.say("  %-50s failed", s.what)
			return err
		}
		calls, took := d.calls.Load()-calls, time.Since(began)
		unit := "calls"
		if calls == 1 {
			unit = "call"
		}
		d.say("  %-50s %d %-5s %8s", s.what, calls, unit, took.Round(10*time.Microsecond))
		if calls != s.calls {
			return fmt.Errorf("%s: %d calls to key services; want %d", s.what, calls, s.calls)
		}
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }
