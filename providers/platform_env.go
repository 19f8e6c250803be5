package providers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// ErrNotSet is wrapped by the error of [PlatformFromEnv] if a setting is missing
// or empty and nothing else is wrong.
var ErrNotSet = errors.New("not set")

// PlatformFromEnv returns a [Platform] with the URL in SATCHEL_API_URL and the
// token in SATCHEL_RUNNER_TOKEN, or in the file that SATCHEL_TOKEN_FILE names. A
// variable in the process's environment takes precedence over the .env files, and a
// later file over an earlier one. Files are read only if a variable is not set; each
// must then exist. An empty setting is an error, and so is a file that sets the URL
// or the token twice to different values, or that sets both variables for the token.
// Other duplicate names are not checked here; [Dotenv] rejects them.
//
// The path in SATCHEL_TOKEN_FILE is relative to the folder of the .env file that sets
// it, or to the working directory if that is the environment. [TokenFile] has the
// rules for the file.
//
// The token is read again for each request, from these places in the same order, so
// that a rotated one needs no restart. See [Platform.Token] for errors.
//
// All settings are validated without a request. The error wraps [ErrNotSet] or
// [io/fs.ErrNotExist] where that is the cause, and never contains the token. A
// token from the environment stays there: child processes inherit it unless they
// are started with another environment.
func PlatformFromEnv(files ...string) (*Platform, error) {
	files = slices.Clone(files)
	address, token := &setting{names: []string{"SATCHEL_API_URL"}, example: "https://satchel.example.com/api"}, tokenSetting()
	if err := find([]*setting{address, token}, files); err != nil {
		return nil, settingsError(err)
	}
	p := &Platform{
		URL: address.value.Reveal(),
		Token: func(context.Context) (bundle.Value, error) {
			token := tokenSetting()
			if err := find([]*setting{token}, files); err != nil {
				return bundle.Value{}, settingsError(err)
			}
			return token.read()
		},
	}
	if _, err := p.endpoint(); err != nil {
		return nil, settingsError(fmt.Errorf("%s in %s: %w", address.name, address.place, err))
	}
	first, err := token.read()
	if err != nil {
		return nil, err
	}
	id, _ := TokenID(first)
	p.good.Store(&source{token: first, id: id})
	return p, nil
}

func settingsError(err error) error { return fmt.Errorf("runner settings: %w", err) }

const tokenFile = "SATCHEL_TOKEN_FILE"

func tokenSetting() *setting {
	return &setting{names: []string{"SATCHEL_RUNNER_TOKEN", tokenFile}, example: wire.TokenPrefix + "..."}
}

// setting is a setting with one of several names, and the place where it was found.
type setting struct {
	names   []string // the first one is recommended
	example string   // of the first one
	name    string   // the name that was found
	place   string   // empty if it was not found
	dir     string   // for relative paths
	value   bundle.Value
}

// read returns the token, which may be in a file.
func (s *setting) read() (bundle.Value, error) {
	if s.name == tokenFile {
		path := s.value.Reveal()
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.dir, path)
		}
		token, err := readTokenFile(path)
		if err != nil {
			err = settingsError(fmt.Errorf("%s in %s: %w", s.name, s.place, err))
		}
		return token, err
	}
	if _, err := wire.ParseToken(s.value.Reveal()); err != nil {
		return bundle.Value{}, settingsError(fmt.Errorf("%s in %s: %w", s.name, s.place, badToken(err)))
	}
	return s.value, nil
}

// find fills in settings. Its error lists all missing settings, with the lines
// to write.
func find(settings []*setting, files []string) error {
	wanted := map[string]*setting{}
	for _, s := range settings {
		for _, name := range s.names {
			value, ok := os.LookupEnv(name)
			if !ok {
				continue
			}
			if s.name != "" {
				return &bundle.Fault{Problem: fmt.Sprintf("the environment has both %s and %s", s.name, name), Fix: "remove one of the two"}
			}
			s.name, s.place, s.value = name, "the environment", bundle.NewValue(value)
		}
		if s.name == "" {
			for _, name := range s.names {
				wanted[name] = s
			}
		}
	}
	if len(wanted) > 0 {
		for _, file := range files {
			if err := findIn(file, wanted); err != nil {
				return err
			}
		}
	}

	var missing, lines []string
	for _, s := range settings {
		switch {
		case s.place == "":
			missing = append(missing, s.names[0]+" is not set")
		case s.value.Reveal() == "":
			missing = append(missing, s.name+" is empty in "+s.place)
		default:
			continue
		}
		lines = append(lines, "\t"+s.names[0]+"="+s.example)
	}
	if missing == nil {
		return nil
	}
	where := "the environment"
	if len(files) > 0 {
		where += " or " + strings.Join(files, ", ")
	}
	return &bundle.Fault{
		Problem: strings.Join(missing, " and "),
		Fix:     fmt.Sprintf("set in %s:\n%s", where, strings.Join(lines, "\n")),
		Err:     ErrNotSet,
	}
}

// findIn fills in the wanted settings that a .env file has.
func findIn(file string, wanted map[string]*setting) error {
	entries, err := readSettings(file)
	if err != nil {
		return err
	}
	inFile := map[*setting]dotenv.Entry{}
	for _, e := range entries {
		s, ok := wanted[e.Name]
		if !ok {
			continue
		}
		first, again := inFile[s]
		switch {
		case again && e.Name != first.Name:
			return &bundle.Fault{
				Problem: fmt.Sprintf("%s:%d: %s is set besides %s in line %d", file, e.Line, e.Name, first.Name, first.Line),
				Fix:     "remove one of the two",
			}
		case again && !e.Value.Equal(first.Value):
			return &bundle.Fault{
				Problem: fmt.Sprintf("%s:%d: %s is set again to a different value, after line %d", file, e.Line, e.Name, first.Line),
				Fix:     "remove the wrong one",
			}
		case !again:
			inFile[s] = e
			s.name, s.place, s.dir, s.value = e.Name, fmt.Sprintf("%s:%d", file, e.Line), filepath.Dir(file), e.Value
		}
	}
	return nil
}

func readSettings(file string) ([]dotenv.Entry, error) {
	src, err := local.ReadFile(file, false, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &bundle.Fault{Problem: file + " does not exist", Fix: "create it, or remove it from the list", Err: fs.ErrNotExist}
	} else if err != nil {
		return nil, err
	}
	return dotenv.ParseRepeats(file, src)
}
