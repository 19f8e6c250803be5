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

	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

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

// leaveOut returns the names without those that jobs run without, because of the
// backend.
func (s settings) leaveOut(names []string, p *program) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		without := slices.Contains(s.Without, name)
		if without {
			p.note("%s is left out: the backend is local", name)
		}
		return without
	})
}
