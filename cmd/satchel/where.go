package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/satchelhq/satchel/bundle/dotenv"
)

// whereFlag is --dir, the flag of all commands that use the runner's files.
type whereFlag struct {
	flags *flagSet
	dir   string
	// nearby is set if find chose the current folder although --dir does not name it.
	nearby bool
}

// homeFlag adds --dir.
func (f *flagSet) homeFlag() *whereFlag {
	w := &whereFlag{flags: f}
	f.StringVar(&w.dir, "dir", "", "`FOLDER` with .env, secrets.yaml and runner.yaml (default: satchel in the user's configuration folder)")
	return w
}

// find returns the folder of the runner: that of --dir, or else the standard one. If the
// standard folder has no files of the runner, and the .env of the current folder has a
// token, find returns the current folder and warns. It fails if both have files of the
// runner and they differ. A token in the environment is not used with the .env of the
// current folder, which may be another user's and name another platform. Call find after
// parsing.
func (w *whereFlag) find() (home, error) {
	if w.flags.given("dir") {
		if w.dir == "" {
			return "", w.flags.wrong("--dir: missing folder; name one")
		}
		return home(w.dir), nil
	}
	const here = home(".")
	standard, _ := standardHome() // without one, the two lines may be in the environment
	if tokenInEnvironment() || !here.hasToken() || sameFolder(here, standard) {
		return standard, nil
	}
	if standard == "" || !standard.inUse() {
		w.nearby = true
		advice := "choose this folder with --dir ."
		if standard != "" {
			advice = "move its lines that begin with SATCHEL_ to " + standard.env() + ", or " + advice
		}
		w.flags.p.note(".env in the current folder has the runner's token, which every job here can read; %s", advice)
		return here, nil
	}
	if !standard.agrees(here) {
		return "", fmt.Errorf("%s and %s both have lines of the runner, and they differ; remove them from one, or choose with --dir . or --dir %s", standard.env(), absolute(here.env()), standard)
	}
	return standard, nil
}

// standardHome returns the folder that is used without --dir, which may not exist yet.
func standardHome() (home, error) {
	config, err := os.UserConfigDir()
	if err == nil && !filepath.IsAbs(config) {
		err = errors.New("$HOME is relative")
	}
	if err != nil {
		return "", fmt.Errorf("the user has no configuration folder: %w; set HOME, or name a folder with --dir", err)
	}
	return home(filepath.Join(config, "satchel")), nil
}

// tokenInEnvironment reports whether the environment has a token or its file.
func tokenInEnvironment() bool {
	_, token := os.LookupEnv(tokenName)
	_, file := os.LookupEnv(tokenFileName)
	return token || file
}

// tokenLine matches a line of a .env file with a token or its file. The rest of the file
// may be malformed.
var tokenLine = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?(?:` + tokenName + `|` + tokenFileName + `)[ \t]*=`)

// hasToken reports whether .env has a token or its file.
func (h home) hasToken() bool {
	src, err := readFile(h.env())
	return err == nil && tokenLine.Match(src)
}

// inUse reports whether the folder has one of the runner's files.
func (h home) inUse() bool {
	return exists(h.env()) || exists(h.yaml()) || exists(h.settings())
}

// exists reports whether a path exists, or may exist.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// agrees reports whether each line of the runner in the .env of other is also in the
// .env of h.
func (h home) agrees(other home) bool {
	mine, errMine := h.lines()
	others, errOthers := other.lines()
	if errMine != nil || errOthers != nil {
		return false
	}
	for name, value := range others {
		if mine[name] != value {
			return false
		}
	}
	return true
}

// lines returns the values of the runner's lines in .env, by name.
func (h home) lines() (map[string]string, error) {
	src, err := readFile(h.env())
	if err != nil {
		return nil, err
	}
	entries, err := dotenv.ParseRepeats(h.env(), src)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, e := range entries {
		switch e.Name {
		case urlName, tokenName, tokenFileName:
			values[e.Name] = strings.TrimSuffix(e.Value.Reveal(), "/")
		}
	}
	return values, nil
}

// sameFolder reports whether two folders exist and are the same.
func sameFolder(a, b home) bool {
	if b == "" {
		return false
	}
	x, errX := os.Stat(string(a))
	y, errY := os.Stat(string(b))
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// absolute returns path as an absolute path if that is possible.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// makePrivate creates the folder, which only its owner can enter. If it exists, only the
// mode of the standard folder changes.
func (h home) makePrivate() error {
	if err := os.MkdirAll(string(h), 0o700); err != nil {
		return err
	}
	if standard, err := standardHome(); err != nil || h != standard {
		return nil //nolint:nilerr // h is not the standard folder
	}
	return os.Chmod(string(h), 0o700)
}
