package providers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
// token in SATCHEL_RUNNER_TOKEN. A variable in the process's environment takes
// precedence over the .env files, and a later file over an earlier one. Files are
// read only if a variable is not set; each must then exist. An empty setting is
// an error, and so is a file that sets one of the two twice to different values.
// Other duplicate names are not checked here; [Dotenv] rejects them.
//
// Both settings are validated without a request. The error wraps [ErrNotSet] or
// [io/fs.ErrNotExist] where that is the cause, and never contains the token. A
// token from the environment stays there: child processes inherit it unless they
// are started with another environment.
func PlatformFromEnv(files ...string) (*Platform, error) {
	const op = "runner settings"
	settings := []setting{
		{name: "SATCHEL_API_URL", example: "https://satchel.example.com/api"},
		{name: "SATCHEL_RUNNER_TOKEN", example: wire.TokenPrefix + "..."},
	}
	if err := find(settings, files); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	address, token := settings[0], settings[1]
	p := &Platform{
		URL:   address.value.Reveal(),
		Token: func(context.Context) (bundle.Value, error) { return token.value, nil },
	}
	if _, err := p.endpoint(); err != nil {
		return nil, fmt.Errorf("%s: %s in %s: %w", op, address.name, address.place, err)
	}
	if _, err := wire.ParseToken(token.value.Reveal()); err != nil {
		return nil, fmt.Errorf("%s: %s in %s: %w", op, token.name, token.place, badToken(err))
	}
	return p, nil
}

// setting is a variable and the place where it was found.
type setting struct {
	name, example string
	place         string // empty if it was not found
	value         bundle.Value
}

// find fills in settings. Its error lists all missing settings, with the lines
// to write.
func find(settings []setting, files []string) error {
	wanted := map[string]*setting{}
	for i := range settings {
		s := &settings[i]
		if value, ok := os.LookupEnv(s.name); ok {
			s.place, s.value = "the environment", bundle.NewValue(value)
		} else {
			wanted[s.name] = s
		}
	}
	if len(wanted) > 0 {
		for _, file := range files {
			entries, err := readSettings(file)
			if err != nil {
				return err
			}
			inFile := map[string]dotenv.Entry{}
			for _, e := range entries {
				s, ok := wanted[e.Name]
				if !ok {
					continue
				}
				if first, again := inFile[e.Name]; again && !e.Value.Equal(first.Value) {
					return &bundle.Fault{
						Problem: fmt.Sprintf("%s:%d: %s is set again to a different value, after line %d", file, e.Line, e.Name, first.Line),
						Fix:     "remove the wrong one",
					}
				} else if !again {
					inFile[e.Name] = e
					s.place, s.value = fmt.Sprintf("%s:%d", file, e.Line), e.Value
				}
			}
		}
	}

	var missing, lines []string
	for _, s := range settings {
		switch {
		case s.place == "":
			missing = append(missing, s.name+" is not set")
		case s.value.Reveal() == "":
			missing = append(missing, s.name+" is empty in "+s.place)
		default:
			continue
		}
		lines = append(lines, "\t"+s.name+"="+s.example)
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

func readSettings(file string) ([]dotenv.Entry, error) {
	src, err := local.ReadFile(file, false, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &bundle.Fault{Problem: file + " does not exist", Fix: "create it, or remove it from the list", Err: fs.ErrNotExist}
	} else if err != nil {
		return nil, err
	}
	return dotenv.ParseRepeats(file, src)
}
