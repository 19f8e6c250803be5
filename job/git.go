package job

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// GitCredential lets git in a job use a secret as the password for a URL. Git gets
// the current value each time it needs the password.
type GitCredential struct {
	// URL is a host such as https://github.com, or a part of one such as
	// https://github.com/acme, which takes precedence over the host. Path segments
	// are compared in full and as git sends them: /acme/web does not cover
	// /acme/web.git. The scheme must be https, or http for localhost or a loopback
	// address. The URL must not contain a user. Required.
	URL string
	// Username is the user for the secret: x-access-token for GitHub's tokens,
	// x-token-auth for Bitbucket's. Default: x-access-token.
	Username string
	// Secret is the name of the secret. Required.
	Secret string
}

// maxCredentialInput is the limit of a helper's input. Git writes far less.
const maxCredentialInput = 256 << 10

// GitCredentialHelper implements the git credential helper of a job. The runner's
// program calls it when git starts the program with the arguments git-credential
// URL USERNAME SECRET get. args are the arguments after git-credential.
//
//	if len(os.Args) > 1 && os.Args[1] == "git-credential" {
//		err := job.GitCredentialHelper(ctx, os.Args[2:], os.Stdin, os.Stdout)
//		…
//	}
//
// It reads git's request from stdin. If the requested URL is within URL, it gets the
// current value of the secret from the job's socket (SATCHEL_SOCKET) and writes it
// to stdout. For any other URL or operation it writes nothing and returns nil, so
// that git goes on. It never stores or erases anything. The error contains no
// value; print it to the standard error.
//
// See gitcredentials(7) for the protocol.
func GitCredentialHelper(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("git credential: got %d arguments, want 4: URL USERNAME SECRET get", len(args))
	}
	place, err := GitCredential{URL: args[0], Username: args[1], Secret: args[2]}.place()
	if err != nil {
		return fmt.Errorf("git credential: %w", err)
	}
	if args[3] != "get" {
		return nil // store, erase, and operations of later versions of git
	}
	wanted, err := readCredentialInput(stdin)
	if err != nil {
		return fmt.Errorf("git credential for %s: %w", place, err)
	}
	if !place.covers(wanted) {
		return nil
	}
	path := os.Getenv(socket.Variable)
	if path == "" {
		return fmt.Errorf("git credential for %s: %s is not set: run git in a job, and pass it that variable", place, socket.Variable)
	}
	secret, err := socket.Ask(ctx, path, place.secret)
	if err != nil {
		return fmt.Errorf("git credential for %s: %w", place, err)
	}
	value := secret.Value.Reveal()
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("git credential for %s: %s cannot be a password for git: the value is empty or has a line break or a NUL; set it to the password alone", place, place.secret)
	}
	response := "username=" + place.username + "\npassword=" + value + "\n"
	if !secret.Expires.IsZero() {
		// Git before 2.41 ignores this line.
		response += "password_expiry_utc=" + strconv.FormatInt(secret.Expires.Unix(), 10) + "\n"
	}
	_, err = io.WriteString(stdout, response)
	return err
}

// gitEnviron returns the variables that make git run helper, and no helper that is
// configured elsewhere, for the passwords of creds. They contain no values of
// secrets. Git 2.31 and later reads them.
func gitEnviron(creds []GitCredential, helper []string) ([]string, error) {
	if len(creds) == 0 {
		return nil, nil
	}
	if len(helper) == 0 || helper[0] == "" {
		return nil, errors.New("git credentials: the helper command is missing")
	}
	if slices.ContainsFunc(helper, hasControl) {
		return nil, fmt.Errorf("git credentials: the helper command %q has a control character", helper)
	}
	places := make([]gitPlace, len(creds))
	for i, c := range creds {
		var err error
		if places[i], err = c.place(); err != nil {
			return nil, fmt.Errorf("git credential: %w", err)
		}
	}
	// Each place starts with an empty list of helpers, so git runs only the helpers of
	// the last place that matches: the narrower place must come later.
	slices.SortStableFunc(places, func(a, b gitPlace) int { return cmp.Compare(len(a.path), len(b.path)) })
	var config [][2]string
	known := map[string][]string{} // users by place
	for _, p := range places {
		section := "credential." + p.String()
		if slices.Contains(known[p.String()], p.username) {
			return nil, fmt.Errorf("git credentials: duplicate entry for %s with the user %s", p, p.username)
		}
		if known[p.String()] == nil {
			config = append(config, [2]string{section + ".helper", ""})
			if p.path != "" {
				config = append(config, [2]string{section + ".useHttpPath", "true"})
			}
		}
		known[p.String()] = append(known[p.String()], p.username)
		command := slices.Concat(helper, []string{p.String(), p.username, p.secret})
		config = append(config, [2]string{section + ".helper", "!" + shellCommand(command)})
	}
	env := []string{"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(config))}
	for i, entry := range config {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, entry[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, entry[1]))
	}
	return env, nil
}

// shellCommand quotes words for a POSIX shell.
func shellCommand(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// hasControl reports whether s has an ASCII control character, such as those that
// end a line or a value in git's protocol.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// gitPlace is a valid GitCredential.
type gitPlace struct {
	scheme, host string // see plainHost
	path         string // not escaped, without leading and trailing slashes
	username     string
	secret       string
}

// Check returns nil if the credential is valid, and otherwise a [*bundle.Fault] about
// its URL, Username or Secret. It does not check that the secret exists. The error
// quotes no part of the URL except the host.
func (c GitCredential) Check() error {
	_, err := c.place()
	return err
}

// place checks c and returns its parts.
func (c GitCredential) place() (gitPlace, error) {
	fail := func(field, problem, fix string) (gitPlace, error) {
		return gitPlace{}, &bundle.Fault{Problem: problem, Setting: "job.GitCredential." + field, Fix: fix}
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return fail("URL", "the URL is invalid", "write it like https://github.com")
	}
	host := strconv.Quote(u.Host)
	switch {
	case u.User != nil:
		return fail("Username", "the URL has a user", "remove everything from // to @, and use {job.GitCredential.Username}")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(c.URL, "#"):
		return fail("URL", "the URL of "+host+" has a query or a fragment", "remove it")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' }):
		return fail("URL", "the host "+host+" is not a plain name", "write one host in ASCII, without patterns")
	case hasControl(u.Path) || u.Path != "" && !cleanPath(u.Path):
		return fail("URL", "the path of the URL of "+host+" has dots, empty segments or control characters", "remove them")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fail("URL", "http would send the secret to "+host+" in the clear", "use https")
	case u.Scheme != "http" && u.Scheme != "https":
		return fail("URL", "the URL of "+host+" does not start with https://", "")
	}
	if err := bundle.CheckName(c.Secret); err != nil {
		return fail("Secret", "the name of the secret for "+host+": "+err.Error(), "")
	}
	username := cmp.Or(c.Username, "x-access-token")
	if hasControl(username) || strings.Contains(username, ":") {
		return fail("Username", "the user for "+host+" has a colon or a control character, which HTTP authentication does not allow", "")
	}
	return gitPlace{u.Scheme, plainHost(u.Scheme, u.Host), strings.Trim(u.Path, "/"), username, c.Secret}, nil
}

// String returns the URL.
func (p gitPlace) String() string {
	u := url.URL{Scheme: p.scheme, Host: p.host}
	if p.path != "" {
		u.Path = "/" + p.path
	}
	return u.String()
}

// covers reports whether p is the credential for git's request.
func (p gitPlace) covers(wanted map[string]string) bool {
	if wanted["protocol"] != p.scheme || plainHost(p.scheme, wanted["host"]) != p.host {
		return false
	}
	if user, ok := wanted["username"]; ok && user != p.username {
		return false
	}
	if p.path == "" {
		return true
	}
	at := "/" + strings.TrimPrefix(wanted["path"], "/")
	return cleanPath(at) && strings.HasPrefix(strings.TrimSuffix(at, "/")+"/", "/"+p.path+"/")
}

// cleanPath reports whether the path of a URL has no empty or dot segments, which
// could lead outside its prefix. A trailing slash is allowed.
func cleanPath(p string) bool {
	return p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/")
}

// plainHost returns host, which may have a port, in canonical form for comparison.
func plainHost(scheme, host string) string {
	host = strings.Map(func(r rune) rune { // ASCII only: other letters must not become ASCII
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, host)
	usual := map[string]string{"http": "80", "https": "443"}[scheme]
	if _, port, err := net.SplitHostPort(host); err == nil && (port == "" || port == usual) {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}

// isLoopback reports whether host is localhost or a loopback address. It looks no
// name up.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// readCredentialInput reads git's request to a helper: lines of name=value, up to an
// empty line or the end. Of several lines with the same name, the last one counts.
// Errors give the number of a line and none of its text.
func readCredentialInput(r io.Reader) (map[string]string, error) {
	limited := &io.LimitedReader{R: r, N: maxCredentialInput + 1}
	input := bufio.NewReader(limited)
	wanted := map[string]string{}
	for number := 1; ; number++ {
		line, err := input.ReadString('\n')
		if limited.N == 0 {
			return nil, fmt.Errorf("git's input is longer than %d bytes", maxCredentialInput)
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading git's input: %w", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return wanted, nil
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.Contains(line, "\x00") {
			return nil, fmt.Errorf("line %d of git's input is not name=value", number)
		}
		wanted[name] = value
		if err == io.EOF {
			return wanted, nil
		}
	}
}
