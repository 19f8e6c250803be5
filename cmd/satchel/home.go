package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/yamlfile"
)

// home is the folder of the runner. It has .env with the runner's two lines and local
// secrets, secrets.yaml with more local secrets, and runner.yaml with settings. It is
// empty if there is no such folder: the two lines must then be in the environment.
type home string

func (h home) env() string      { return filepath.Join(string(h), ".env") }
func (h home) yaml() string     { return filepath.Join(string(h), "secrets.yaml") }
func (h home) settings() string { return filepath.Join(string(h), "runner.yaml") }

// localLayers returns the layers of this machine, in rising precedence.
func (h home) localLayers() []bundle.Provider {
	if h == "" {
		return nil
	}
	return []bundle.Provider{
		&yamlfile.File{Path: h.yaml(), Optional: true},
		&providers.Dotenv{Path: h.env(), Optional: true},
	}
}

// platform returns the platform that the runner's two lines name.
func (h home) platform(s settings) (*providers.Platform, error) {
	var files []string
	if h != "" && exists(h.env()) {
		files = append(files, h.env())
	}
	platform, err := providers.PlatformFromEnv(files...)
	if err != nil {
		if errors.Is(err, providers.ErrNotSet) {
			setup := "satchel setup"
			if h == "" {
				setup += " --dir FOLDER"
			}
			err = fmt.Errorf("%w\n`%s` writes both lines into %s", err, setup, cmp.Or(h, "FOLDER").env())
		}
		return nil, err
	}
	platform.Runner = runnerName()
	platform.Client, err = s.httpClient()
	return platform, err
}

// runnerName returns the name that the platform shows for this runner.
func runnerName() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "runner"
	}
	name = cmp.Or(name, "runner")
	return name[:min(len(name), 128)]
}

// layers returns all layers, in rising precedence, and the settings.
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
