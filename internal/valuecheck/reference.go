package valuecheck

import (
	"regexp"
	"strings"
)

// form is a form of reference that one pattern recognizes.
type form struct {
	pattern *regexp.Regexp
	target  string
}

// schemes begin references to entries of secret managers, such as op://vault/item.
const schemes = `op|vaults?|hcvault|hashivault|ref\+[a-z0-9]+|secretref\+[a-z0-9]+|` +
	`(?:aws-?)?(?:sm|ssm|secretsmanager|secrets-manager|parameterstore|parameter-store)|` +
	`gsm|berglas|(?:gcp|google)-?(?:sm|secrets?|secretmanager|secret-manager)|(?:azure-?)?(?:kv|akv|keyvault|key-vault)|` +
	`bws?|bitwarden|keepass|keepassxc|keeper|kp|pass|gopass|lastpass|lpass|dashlane|dl|doppler|infisical|akeyless|conjur|chamber|phase|teller|` +
	`keychain|keyring|secrets?|secret-service|k8s|kubernetes|sops|env`

// forms are the references that a tool expands in any quotes.
var forms = []form{
	{regexp.MustCompile(`(?s)\{\{[^}]*[A-Za-z].*?\}\}`), "an expression in double braces"},
	{regexp.MustCompile(`(?s)<%=.+?%>`), "an expression of a template"},
	{regexp.MustCompile(`#\{[A-Za-z_][A-Za-z0-9_.: -]*\}`), "a variable, as in #{NAME}"},
	{regexp.MustCompile(`(?s)\$\[\[.+?\]\]|\$\[ *[A-Za-z_]+ *[.(\[].*?\]`), "an expression of a pipeline"},
	{regexp.MustCompile(`%env\([^)]+\)%`), "a variable, as in %env(NAME)%"},
	{regexp.MustCompile(`%\([A-Za-z_][A-Za-z0-9_]*\)s`), "a variable, as in %(NAME)s"},
	{regexp.MustCompile(`\{(?:env|file|secret|vault)[:.][^{}\s]+\}`), "a variable or a file, as in {env:NAME}"},
	{regexp.MustCompile(`^@@[A-Z][A-Z0-9_]+@@$|^__[A-Z][A-Z0-9_]+__$|^%%[A-Z][A-Z0-9_]+%%$|^![A-Z][A-Z0-9]*_[A-Z0-9_]+!$`), "a variable of a template"},
	{regexp.MustCompile(`%\{[A-Za-z_][A-Za-z0-9_.:]*\}`), "a variable, as in %{NAME}"},
	{regexp.MustCompile(`<< *[a-z]+(?:\.[A-Za-z0-9_-]+)+ *>>`), "a parameter, as in << parameters.name >>"},
	{regexp.MustCompile(`\[\[ *(?:\.|\$|secret |env |key )[^\]]+\]\]`), "an expression in double brackets"},
	{regexp.MustCompile(`\(\([A-Za-z][A-Za-z0-9_.:/-]*\)\)`), "a variable, as in ((name))"},
	{regexp.MustCompile(`\b(?:process\.env|os\.environ|import\.meta\.env)[.\[]\w?|\b(?:os\.)?[gG]etenv\(`), "a variable of the environment"},
	{regexp.MustCompile(`^env:[A-Za-z_][A-Za-z0-9_]*$`), "a variable, as in env:NAME"},
	// In any quotes, a secret does not have this form.
	{regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_.]*(?:[:?+=-][^}]*)?\}$`), "a variable, as in ${NAME}"},
	{regexp.MustCompile(`^%[A-Za-z_][A-Za-z0-9_]+%$`), "a variable, as in %NAME%"},

	{regexp.MustCompile(`(?:^|[\s"'=:,;(@|])(?:` + schemes + `):///?[^\s/]`), "an entry of a secret manager"},
	{regexp.MustCompile(`(?:^|[\s"'=,;(|])vault:[A-Za-z0-9_-]+/[^\s]+`), "an entry of a secret manager"},
	{regexp.MustCompile(`(?:^|[\s"'=,;(|])(?:aws-?)?(?:ssm|secretsmanager):/?[A-Za-z0-9_-]+/[^\s]+`), "an entry of a secret manager"},
	{regexp.MustCompile(`^(?:secretref|keyring):[A-Za-z][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_./-]+)?$`), "an entry of a secret manager"},
	{regexp.MustCompile(`\barn:aws[a-z-]*:(?:secretsmanager|ssm):`), "an entry of a secret manager of AWS"},
	{regexp.MustCompile(`^(?:aws|gcp|azure):(?:secrets?manager|ssm|keyvault):`), "an entry of a secret manager"},
	{regexp.MustCompile(`^projects/[^/\s]+/secrets/[^/\s]+(?:/versions/[^/\s]+)?$`), "an entry of Secret Manager of Google Cloud"},
	{regexp.MustCompile(`@(?:Microsoft\.|Azure)(?:KeyVault|AppConfiguration)\(|^https://[A-Za-z0-9-]+\.(?:vault|managedhsm)\.[a-z.]+/(?:secrets|keys|certificates)/`), "an entry of Azure Key Vault"},

	{regexp.MustCompile(`^@(?:~|\.{1,2})?/[A-Za-z0-9._/-]+$|^@[A-Za-z0-9._-]+\.(?:pem|key|crt|cer|txt|json|ya?ml|env|p12|pfx)$`), "a file, as in @/path"},
	{regexp.MustCompile(`^file://\S*(?i:secret|token|key|pass|cred|cert|\.pem|\.crt|\.txt)\S*$`), "a file"},

	{regexp.MustCompile(`^encrypted:[A-Za-z0-9+/=_-]{16,}$|^ENC\[[A-Z0-9_]+,|^ENC\(.+\)$|^\{cipher\}|^\$ANSIBLE_VAULT;`), "a key: another tool has encrypted it"},
}

// These match at the start of the text that follows.
var (
	braced   = regexp.MustCompile(`^\$\{ *[!#]?[A-Za-z_][A-Za-z0-9_.-]*(?:[:?+=#%/^,@\[ (~*-][^}]*)?\}`)
	command  = regexp.MustCompile(`(?s)^\$\([^)]+\)`)
	typed    = regexp.MustCompile(`^\$(?i:env|script|global|using):[A-Za-z_]`)
	bare     = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*)`)
	backtick = regexp.MustCompile("(?s)^`([^`]+)`")
	percent  = regexp.MustCompile(`^%([A-Za-z_][A-Za-z0-9_]+)%`)
)

// composed matches values of nothing but variables, such as $user:$password.
var composed = regexp.MustCompile(`^(?:[:/@,.-]*\$[A-Za-z_][A-Za-z0-9_]*){2,}$`)

var (
	// upper matches names that variables usually have. "SW0RD" is not one.
	upper = regexp.MustCompile(`^_?(?:[A-Z]+[0-9]*|[A-Z][A-Z0-9]*_[A-Z0-9_]*)$`)
	// line is a command line, as opposed to any text between backticks.
	line = regexp.MustCompile(`(?s)^[a-z./~$][A-Za-z0-9_./~$:-]+(?:\s.*)?$`)
	// hash matches hashes of passwords, which have fields between dollar signs.
	hash = regexp.MustCompile(`\$(?:2[abxy]?|[1567PHSy]|gy|argon2(?:i|d|id)|scrypt|apr1|pbkdf2[a-z0-9_-]*|bcrypt-sha256|sha1|md5)\$`)
	// hexByte is what follows the percent sign of an escape in a URL.
	hexByte = regexp.MustCompile(`^[0-9A-Fa-f]{2}`)
)

// reference describes the target of a reference anywhere in the value, or returns "".
// quotes reports whether single quotes would make the reference literal.
func reference(value string, c Context) (target string, quotes bool) {
	value = strings.TrimSpace(value)
	for _, f := range forms {
		if f.pattern.MatchString(value) {
			return f.target, false
		}
	}
	if c.Literal {
		return "", false
	}
	return expanded(value, c), true
}

// expanded describes the target of a reference that a shell, compose or Windows would
// expand outside of single quotes, or returns "".
func expanded(value string, c Context) (target string) {
	hashed := hash.MatchString(value)
	if !hashed && composed.MatchString(value) {
		return "variables, as in $NAME"
	}
	for i := 0; i < len(value); i++ {
		rest := value[i:]
		switch value[i] {
		case '\\':
			i++ // the next character is escaped
		case '$':
			switch {
			case strings.HasPrefix(rest, "$$"):
				i++ // a dollar sign, escaped as in compose
			case braced.MatchString(rest):
				return "a variable, as in ${NAME}"
			case command.MatchString(rest):
				return "a command or a variable, as in $(NAME)"
			case typed.MatchString(rest):
				return "a variable, as in $env:NAME"
			case !hashed && isVariable(value, i, c):
				return "a variable, as in $NAME"
			}
		case '`':
			if m := backtick.FindStringSubmatch(rest); m != nil && (m[0] == value || line.MatchString(m[1])) {
				return "the output of a command between backticks"
			}
		case '%':
			if m := percent.FindStringSubmatch(rest); m != nil && !hexByte.MatchString(rest[len(m[0]):]) && (isUpper(m[1]) || c.known(m[1])) {
				return "a variable, as in %NAME%"
			}
		}
	}
	return ""
}

func (c Context) known(name string) bool { return len(name) > 1 && c.Known != nil && c.Known(name) }

// isUpper reports whether a name looks like that of a variable. Short ones are common in
// generated passwords.
func isUpper(name string) bool { return len(name) > 2 && upper.MatchString(name) }

// isVariable reports whether the dollar sign at value[at] begins the name of a
// variable, rather than being a character of a password such as p@$w0rd.
func isVariable(value string, at int, c Context) bool {
	m := bare.FindStringSubmatch(value[at:])
	if m == nil {
		return false
	}
	name, after := m[1], value[at+len(m[0]):]
	switch {
	case at == 0 && after == "", isUpper(name), c.known(name):
		return true
	case len(name) < 2 || strings.ContainsAny(name, "0123456789"):
		return false
	}
	// Other names are common in passwords too. They count as an entire component of a
	// URL or a path, or with an underscore.
	const around = "/:=,;&? \"'()<>[]|@.-#\n"
	begins := at == 0 || strings.IndexByte(around, value[at-1]) >= 0
	ends := after == "" || strings.IndexByte(around, after[0]) >= 0
	return begins && ends &&
		(strings.Contains(strings.Trim(name, "_"), "_") || strings.Contains(value, "://") || at > 0 && value[at-1] == '/' || strings.HasPrefix(after, "/"))
}

// RefersTo reports whether a value with a reference has one to the variable called
// name.
func RefersTo(value, name string) bool {
	if !strings.Contains(value, name) { // the usual case, without a pattern to compile
		return false
	}
	name = regexp.QuoteMeta(name)
	return regexp.MustCompile(`\$(?:\{ *[!#]?|\(|(?i:env):)?` + name + `(?:[^A-Za-z0-9_]|$)|%` + name + `%`).MatchString(value)
}
