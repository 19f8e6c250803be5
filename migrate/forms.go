package migrate

import (
	"math"
	"net/url"
	"regexp"
	"strings"
)

// forms are known forms of secrets.
var forms = []struct {
	pattern *regexp.Regexp
	what    string
}{
	{regexp.MustCompile(`-----BEGIN `), "a PEM block"},
	{regexp.MustCompile(`^sk-ant-`), "an Anthropic key"},
	{regexp.MustCompile(`^(sk|rk|pk)[-_]`), "an API key (sk-, rk-, pk-)"},
	{regexp.MustCompile(`^(gh[oprsu]_|github_pat_)`), "a GitHub token"},
	{regexp.MustCompile(`^gl[a-z]{2,6}-`), "a GitLab token"},
	{regexp.MustCompile(`^(ATBB|ATCTT|ATATT)`), "an Atlassian token"},
	{regexp.MustCompile(`^(AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}$`), "an AWS access key"},
	{regexp.MustCompile(`^(AIza|ya29\.|GOCSPX-)`), "a Google key or token"},
	{regexp.MustCompile(`^(xox[a-z]|xapp)-`), "a Slack token"},
	{regexp.MustCompile(`^(npm_|pypi-|dckr_|dop_v1_|hf_|hvs\.|hvb\.|SG\.|shp[a-z]{2}_|whsec_|lin_api_|nvapi-|gsk_|xai-|r8_|dapi|figd_|phc_|sntrys_|tfe?\.)[A-Za-z0-9]`), "a service's token"},
	{regexp.MustCompile(`^rnt_`), "a runner's token"},
	{regexp.MustCompile(`^eyJ[A-Za-z0-9_-]{8,}\.`), "a JSON web token"},
	{regexp.MustCompile(`^(?i:bearer|basic) `), "an Authorization header"},
	{regexp.MustCompile(`"(private_key|client_secret|password|token)"`), "JSON with credentials"},
	{regexp.MustCompile(`(?i:password|pwd|accountkey|sharedaccesskey) *=`), "a connection string with a password"},
}

// knownForm returns the form of secret that a value has, or "".
func knownForm(value string) string {
	for _, f := range forms {
		if f.pattern.MatchString(value) {
			return f.what
		}
	}
	if i := strings.Index(value, "://"); i > 0 {
		// url.Parse fails for some passwords, for example with a %.
		authority, _, _ := strings.Cut(value[i+len("://"):], "/")
		u, err := url.Parse(value)
		if strings.Contains(authority, "@") || err == nil && u.User != nil {
			return "a URL with credentials"
		}
	}
	return ""
}

var (
	// These match entire values that must be replaced.
	brackets = regexp.MustCompile(`^(<[^<>]*>|\[[A-Za-z _-]*\])$`)
	fillers  = regexp.MustCompile(`^([xX]{3,}|\*{3,}|\.{3,}|…+|\?{3,}|-{3,}|_{3,})$`)
	// keyStart matches the start of a key before a filler or words.
	keyStart = regexp.MustCompile(`^(sk-ant-(api03-)?|sk-proj-|sk-|sk_(test|live)_|pk_(test|live)_|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|npm_|hf_|AKIA)`)
	notWord  = regexp.MustCompile(`[^A-Za-z]+`)
)

// Words of placeholders. At least one must be in asking.
var (
	asking = words("your yours change changeme replace replaceme insert enter fill put add example sample dummy placeholder todo tbd fixme here xxx xxxx none null nil undefined")
	around = words("a an the my me this that it in with by to be is of goes value real actual api app key keys token secret password pass user username id client access private public auth github gitlab bitbucket slack openai anthropic aws google azure db database account default")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// placeholder returns the reason why a value is still to be filled in, or "". A real
// secret does not consist of such words only.
func placeholder(value string) string {
	trimmed := strings.TrimSpace(value)
	switch {
	case trimmed == "":
		return "it is empty"
	case brackets.MatchString(trimmed):
		return "a note in brackets"
	case trimmed == "AKIAIOSFODNN7EXAMPLE" || trimmed == "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":
		return "an example from documentation"
	}
	rest := keyStart.ReplaceAllLiteralString(trimmed, "")
	if fillers.MatchString(rest) {
		return "it is not filled in"
	}
	asks := false
	for _, word := range notWord.Split(rest, -1) {
		word = strings.ToLower(word)
		asks = asks || asking[word]
		if word != "" && !asking[word] && !around[word] {
			return ""
		}
	}
	if asks && !strings.ContainsAny(rest, "0123456789") {
		return "its words are those of a placeholder"
	}
	return ""
}

// random reports whether s looks generated: longer than most words, with mixed
// characters and high entropy. It is only a heuristic.
func random(s string) bool {
	if len(s) < 16 {
		return false
	}
	var lower, upper, digit bool
	count := map[byte]int{}
	for i := range len(s) {
		c := s[i]
		count[c]++
		lower = lower || c >= 'a' && c <= 'z'
		upper = upper || c >= 'A' && c <= 'Z'
		digit = digit || c >= '0' && c <= '9'
	}
	var bits float64
	for _, n := range count {
		p := float64(n) / float64(len(s))
		bits -= p * math.Log2(p)
	}
	return digit && (lower || upper) && bits > 3 && !strings.ContainsAny(s, " /:")
}
