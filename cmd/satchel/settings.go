package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// AI backends of jobs.
const (
	backendPlatform = "platform" // uses the platform's key
	backendLocal    = "local"    // an installation on this machine that needs no key
)

// settings is the content of runner.yaml. It has no secrets.
type settings struct {
	Scope   string `yaml:"scope,omitempty"`
	Backend string `yaml:"backend"`
	// Without are the names of keys that jobs of a local backend do without.
	Without []string `yaml:"without,omitempty"`
	// Pool is the number of jobs that serve runs concurrently.
	Pool int `yaml:"pool"`
	// Admin is the URL of the platform's admin API.
	Admin string `yaml:"admin,omitempty"`
	// CA is a file with certificate authorities to trust in addition to the
	// system's. In runner.yaml it may be relative to the folder.
	CA string `yaml:"ca,omitempty"`
}

// maxPool is the largest number of concurrent jobs.
const maxPool = 1000

// readSettings reads runner.yaml. It returns the defaults if the file does not exist.
func (h home) readSettings() (settings, error) {
	s := settings{Backend: backendPlatform, Pool: 2}
	if h == "" {
		return s, nil
	}
	src, err := readFile(h.settings())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = inSettings(yaml.Load(src, &s, yaml.WithKnownFields()))
	}
	if err != nil {
		return s, fmt.Errorf("settings in %s: %w; fix the file, or delete it and run `satchel setup`", h.settings(), err)
	}
	if s.CA != "" && !filepath.IsAbs(s.CA) {
		s.CA = filepath.Join(string(h), s.CA)
	}
	return s, s.check(h.settings())
}

// inSettings returns an error of package yaml in terms of runner.yaml, without Go types.
func inSettings(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.NewReplacer("yaml: construct errors: ", "", " not found in type main.settings", " is unknown").Replace(err.Error()))
}

func (s settings) check(place string) error {
	switch {
	case s.Backend != backendPlatform && s.Backend != backendLocal:
		return fmt.Errorf("%s: invalid backend %q; want %s or %s", place, s.Backend, backendPlatform, backendLocal)
	case s.Pool < 1 || s.Pool > maxPool:
		return fmt.Errorf("%s: invalid pool size %d; want 1 to %d", place, s.Pool, maxPool)
	}
	return nil
}

// writeSettings replaces runner.yaml.
func (h home) writeSettings(s settings) error {
	src, err := yaml.Dump(s)
	if err != nil {
		return err
	}
	text := "# Settings of the runner, written by `satchel setup`. It has no secrets: those\n# come from the platform, or from local files, which take precedence.\n" + string(src)
	return replaceFile(h.settings(), []byte(text), 0o600)
}

// httpClient returns a client that also trusts the authorities of the settings. It
// returns nil, for the default client, if the settings name none.
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
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM format", s.CA)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	transport.DisableKeepAlives = true // as with the default client
	return &http.Client{Transport: transport}, nil
}

// adminClient returns a client of the admin API of the platform at url.
func (s settings) adminClient(url string, credential bundle.Value) (*admin.Client, error) {
	client, err := s.httpClient()
	return &admin.Client{
		URL:        cmp.Or(s.Admin, url+"/admin"),
		HTTPClient: client,
		Authorize: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+credential.Reveal())
			return nil
		},
	}, err
}

// leaveOut returns names without those that jobs of the backend do without.
func (s settings) leaveOut(names []string, p *program) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		without := slices.Contains(s.Without, name)
		if without {
			p.note("%s is left out because the backend is local", name)
		}
		return without
	})
}
