package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/yamlfile"
)

// home is the folder of the runner: .env with its two lines and with local
// secrets, secrets.yaml with more of them, and runner.yaml with settings.
type home string

// homeFlag adds the flag that all commands have that work with the runner.
func (f *flagSet) homeFlag() *home {
	dir := f.String("dir", ".", "`FOLDER` with .env, secrets.yaml and runner.yaml")
	return (*home)(dir)
}

func (h home) env() string      { return filepath.Join(string(h), ".env") }
func (h home) yaml() string     { return filepath.Join(string(h), "secrets.yaml") }
func (h home) settings() string { return filepath.Join(string(h), "runner.yaml") }

// Backends of the AI that jobs use.
const (
	backendPlatform = "platform" // with the platform's key
	backendLocal    = "local"    // an installation on this machine, without a key
)

// settings are what setup keeps besides the two lines. None is a secret.
type settings struct {
	Scope   string `yaml:"scope,omitempty"`
	Backend string `yaml:"backend"`
	// Without are the keys that jobs run without, because of the backend.
	Without []string `yaml:"without,omitempty"`
	// Pool is how many jobs serve runs at a time.
	Pool int `yaml:"pool"`
	// Admin is the URL of the platform's admin API.
	Admin string `yaml:"admin,omitempty"`
	// CA is a file with certificate authorities to trust besides the system's.
	// In the file it may be relative to the folder.
	CA string `yaml:"ca,omitempty"`
}

// maxPool is how many jobs may run at a time.
const maxPool = 1000

// readSettings returns the settings, or those of a runner that has none.
func (h home) readSettings() (settings, error) {
	s := settings{Backend: backendPlatform, Pool: 2}
	src, err := readFile(h.settings())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = yaml.Load(src, &s, yaml.WithKnownFields())
	}
	if err != nil {
		return s, fmt.Errorf("settings in %s: %w; mend it, or remove it and run `satchel setup`", h.settings(), err)
	}
	if s.CA != "" && !filepath.IsAbs(s.CA) {
		s.CA = filepath.Join(string(h), s.CA)
	}
	return s, s.check(h.settings())
}

func (s settings) check(place string) error {
	switch {
	case s.Backend != backendPlatform && s.Backend != backendLocal:
		return fmt.Errorf("%s: the backend is %q; want %s or %s", place, s.Backend, backendPlatform, backendLocal)
	case s.Pool < 1 || s.Pool > maxPool:
		return fmt.Errorf("%s: the pool is %d; want 1 to %d", place, s.Pool, maxPool)
	}
	return nil
}

// writeSettings replaces the file.
func (h home) writeSettings(s settings) error {
	src, err := yaml.Dump(s)
	if err != nil {
		return err
	}
	text := "# Settings of the runner, written by `satchel setup`. No secrets: those come\n# from the platform, or from local files that win over it.\n" + string(src)
	return replaceFile(h.settings(), []byte(text), 0o644)
}

// httpClient returns a client that trusts the authorities of the settings too,
// or nil, which means the default, where there are none.
func (s settings) httpClient() (*http.Client, error) {
	if s.CA == "" {
		return nil, nil
	}
	pem, err := readFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: %s holds no certificate in PEM", s.CA)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	transport.DisableKeepAlives = true // as without a client of one's own
	return &http.Client{Transport: transport}, nil
}

// localLayers returns the layers on this machine, in rising precedence.
func (h home) localLayers() []bundle.Provider {
	return []bundle.Provider{
		&yamlfile.File{Path: h.yaml(), Optional: true},
		&providers.Dotenv{Path: h.env(), Optional: true},
	}
}

// platform returns the platform that the two lines name.
func (h home) platform(s settings) (*providers.Platform, error) {
	var files []string
	if _, err := os.Stat(h.env()); !errors.Is(err, fs.ErrNotExist) {
		files = append(files, h.env())
	}
	platform, err := providers.PlatformFromEnv(files...)
	if err != nil {
		if errors.Is(err, providers.ErrNotSet) {
			err = fmt.Errorf("%w\n`satchel setup` writes both lines into %s", err, h.env())
		}
		return nil, err
	}
	platform.Runner = runnerName()
	platform.Client, err = s.httpClient()
	return platform, err
}

// runnerName is what the platform's people see this runner as.
func runnerName() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "runner"
	}
	name = cmp.Or(name, "runner")
	return name[:min(len(name), 128)]
}

// layers returns all layers: local values win.
func (h home) layers() ([]bundle.Provider, settings, error) {
	s, err := h.readSettings()
	if err != nil {
		return nil, s, err
	}
	platform, err := h.platform(s)
	if err != nil {
		return nil, s, err
	}
	return append([]bundle.Provider{platform}, h.localLayers()...), s, nil
}

// connect returns a client of the layers. It tries until the time is over or ctx
// ends, and says why that takes long.
func (p *program) connect(ctx context.Context, layers []bundle.Provider, limit time.Duration, opts satchel.Options) (*satchel.Client, error) {
	if limit > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	said := map[string]string{} // by layer
	opts.Observer.Waiting = func(layer string, err error) {
		if text := explained(err, flagNames); said[layer] != text {
			said[layer] = text
			p.note("waiting for %s: %s", layer, text)
		}
	}
	opts.Logger = p.logger()
	return satchel.New(ctx, layers, &opts)
}

// sayHidden says which local values hide others: of the named secrets, or of all
// without names.
func (p *program) sayHidden(b *bundle.Bundle, names ...string) {
	for _, shadow := range b.Shadowed() {
		if names != nil && !slices.Contains(names, shadow.Name) {
			continue
		}
		which, otherwise := "another value", "put yours in its place with `satchel migrate --overwrite "+shadow.Name+"`"
		if shadow.Same {
			which, otherwise = "the same value", "let `satchel migrate` do it"
		}
		p.note("%s: %s hides %s of %s; to use that, %s, or %s", shadow.Name, shadow.Winner, which, shadow.Hidden, shadow.Fix(), otherwise)
	}
}
