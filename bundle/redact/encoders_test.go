package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/internal/testenv"
)

func secret(name, value string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value)}
}

// awkward are values that encoders treat differently.
var awkward = map[string]string{
	"a token":            "ghp_R4nd0mLett3rsAndD1gits42",
	"shortest":           "Ab3$9z",
	"seven bytes":        "Ab3$9z!",
	"eight bytes":        "Ab3$9z!x",
	"symbols":            `p4$$w0rd!"#%&'()*+,-./:;<=>?@[\]^_{|}~` + "`end",
	"spaces and quotes":  `it's a "long" pass phrase`,
	"accents":            "pässwörd-är-bråttom",
	"beyond sixteen bit": "clé😀漢字-secret",
	"tabs and controls":  "col1\tcol2\x01\x1b[0m\x1f\x7f\b\f\v\aend",
	"line separators":    "before\u2028between\u2029after",
	"rare characters":    "clé\u2028d\u0085é\u0378j\u00ad\u00a0à\ue000😀\U000e0fff漢\u200f",
	"lines":              "first line of it\nsecond line of it\nthird",
	"windows lines":      "first line of it\r\nsecond line of it\r\nthird",
	"an address":         "postgres://admin:s3cr3t/p4ss@db.internal:5432/app?sslmode=require",
	"plus and slash":     "+/+/+/+/??>>??>>",
	"leading symbols":    "~#start=~mid:~end",
}

// An encoder is a third-party program that prints a value in some form.
type encoder struct {
	about string
	args  []string
	// list is set for a program that takes all values as one JSON array and ends
	// each form with a NUL, because some start slowly. The others get one value as
	// their input and in the variable V.
	list bool
	// only, if not nil, reports whether the program prints a form of the complete
	// value.
	only func(value string) bool
}

func noControls(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// noEscapedQuote reports whether coreutils puts v into single quotes, if into any.
func noEscapedQuote(v string) bool { return !strings.Contains(v, "'") || !noControls(v) }

func python(about, form string) encoder {
	return encoder{about: "python " + about, list: true, args: []string{"python3", "-c", `
import sys, json, base64, re, shlex, urllib.parse as u
for v in json.load(sys.stdin.buffer):
    sys.stdout.buffer.write((` + form + `).encode() + b"\0")
`}}
}

func node(about, form string) encoder {
	return encoder{about: "node " + about, list: true, args: []string{"node", "-e", `
for (const v of JSON.parse(require('fs').readFileSync(0, 'utf8')))
  process.stdout.write(` + form + ` + '\0')
`}}
}

var encoders = []encoder{
	{about: "base64", args: []string{"base64", "-w0"}},
	{about: "basenc, URL alphabet", args: []string{"basenc", "-w0", "--base64url"}},
	{about: "xxd", args: []string{"xxd", "-p", "-c", "256"}},
	{about: "xxd in capitals", args: []string{"xxd", "-p", "-u", "-c", "256"}},
	{about: "jq @base64", list: true, args: []string{"jq", "-j", `.[] | @base64, "\u0000"`}},
	{about: "jq @uri", list: true, args: []string{"jq", "-j", `.[] | @uri, "\u0000"`}},
	{about: "jq @json", list: true, args: []string{"jq", "-j", `.[] | @json, "\u0000"`}},
	{about: "jq in ASCII", args: []string{"jq", "-Rsa", "."}},
	{about: "jq @sh", list: true, args: []string{"jq", "-j", `.[] | @sh, "\u0000"`}},
	python("base64", "base64.b64encode(v.encode()).decode()"),
	python("base64 for URLs", "base64.urlsafe_b64encode(v.encode()).decode().rstrip('=')"),
	python("hex", "v.encode().hex()"),
	python("quote", "u.quote(v)"),
	python("quote, nothing safe", "u.quote(v,safe='')"),
	python("quote_plus", "u.quote_plus(v)"),
	python("escapes in small letters", "re.sub('%..',lambda m:m[0].lower(),u.quote(v,safe=''))"),
	python("json", "json.dumps(v)"),
	python("json, not ASCII", "json.dumps(v,ensure_ascii=False)"),
	python("json as PHP has it", `json.dumps(v).replace("/","\\/")`),
	python("json, large digits", `re.sub(r"\\(u....|.)",lambda m:"\\u"+m[1][1:].upper() if m[1][0]=="u" else m[0],json.dumps(v))`),
	python("shlex", "shlex.quote(v)"),
	python("json in json", "json.dumps(json.dumps(v)[1:-1])"),
	python("html", "__import__('html').escape(v)"),
	python("xml", "__import__('xml.sax.saxutils').sax.saxutils.escape(v)"),
	{about: "jq @html", list: true, args: []string{"jq", "-j", `.[] | @html, "\u0000"`}},
	node("JSON in JSON", "JSON.stringify(JSON.stringify(v).slice(1, -1))"),
	node("encodeURIComponent", "encodeURIComponent(v)"),
	node("encodeURIComponent, small digits", "encodeURIComponent(v).replace(/%../g, x => x.toLowerCase())"),
	node("URLSearchParams", "new URLSearchParams({v}).toString().slice(2)"),
	node("JSON", "JSON.stringify(v)"),
	node("base64url", "Buffer.from(v).toString('base64url')"),
	node("password in URL", "(u=>(u.password=v,u.href.slice(9,-3)))(new URL('http://u:p@h'))"),
	{about: "bash %q", args: []string{"bash", "-c", `printf %q "$V"`}},
	{about: "bash %q in another locale", args: []string{"bash", "-c", `LC_ALL=C; printf %q "$V"`}},
	{about: "coreutils %q", args: []string{"sh", "-c", `env printf %q "$V"`}, only: noEscapedQuote},
	{about: "coreutils %q in another locale", args: []string{"sh", "-c", `LC_ALL=C env printf %q "$V"`}, only: noEscapedQuote},
	{about: "bash @Q", args: []string{"bash", "-c", `printf %s "${V@Q}"`}},
	{about: "bash declare", args: []string{"bash", "-c", `declare -p V | sed '1s/^declare -x V=//'`}},
	{about: "bash trace", args: []string{"bash", "-c", `exec 2>&1; set -x; : "$V"`}},
	{about: "dash trace", args: []string{"dash", "-c", `exec 2>&1; set -x; : "$V"`}},
	{about: "dash set", args: []string{"dash", "-c", `set | grep '^V='`}, only: noControls},
}

// run returns the encoder's forms of values.
func (e encoder) run(t *testing.T, values []string) (forms []string) {
	t.Helper()
	testenv.Program(t, e.args[0])
	call := func(input, v string) string {
		cmd := exec.CommandContext(t.Context(), e.args[0], e.args[1:]...)
		cmd.Stdin = strings.NewReader(input)
		cmd.Env = append(os.Environ(), "V="+v, "LC_ALL=C.UTF-8")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s: %s", e.about, stderr.String())
		return string(out)
	}
	if e.list {
		list, err := json.Marshal(values)
		require.NoError(t, err)
		forms = strings.Split(strings.TrimSuffix(call(string(list), ""), "\x00"), "\x00")
		require.Len(t, forms, len(values))
		return forms
	}
	for _, v := range values {
		forms = append(forms, call(v, v))
	}
	return forms
}

func TestEncoders(t *testing.T) {
	t.Run("other programs", func(t *testing.T) {
		for _, e := range encoders {
			t.Run(e.about, func(t *testing.T) {
				t.Parallel()
				names := slices.Sorted(maps.Keys(awkward))
				if e.only != nil {
					names = slices.DeleteFunc(names, func(name string) bool { return !e.only(awkward[name]) })
				}
				var values []string
				for _, name := range names {
					values = append(values, awkward[name])
				}
				for i, text := range e.run(t, values) {
					// A program may get the output of this one as its secret, and decode it.
					stored := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(text, "\n"), "+ : "), "V=")
					if len(values[i]) >= 8 {
						require.Equal(t, "[KEY]", redact.New(secret("KEY", stored)).String(values[i]), "%s: stored as %q and printed decoded", names[i], stored)
					}

					frame := strings.TrimSpace(redact.New(secret("KEY", values[i])).String(text))
					for _, around := range []string{"+ : ", "V=", "$"} {
						frame = strings.TrimPrefix(frame, around)
					}
					frame = strings.Trim(frame, `"'=`)
					require.Equal(t, "[KEY]", frame, "%s: the complete form must be masked in %q", names[i], text)
				}
			})
		}
	})

	// This test needs no other programs.
	t.Run("the standard library", func(t *testing.T) {
		plainJSON := func(v string) string {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			require.NoError(t, e.Encode(v))
			return strings.TrimSuffix(b.String(), "\n")
		}
		for form, encode := range map[string]func(v string) string{
			"verbatim":           func(v string) string { return v },
			"base64":             func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
			"base64, no padding": func(v string) string { return base64.RawStdEncoding.EncodeToString([]byte(v)) },
			"base64url":          func(v string) string { return base64.URLEncoding.EncodeToString([]byte(v)) },
			"base64url, no padding": func(v string) string {
				return base64.RawURLEncoding.EncodeToString([]byte(v))
			},
			"hex":           func(v string) string { return hex.EncodeToString([]byte(v)) },
			"HEX":           func(v string) string { return fmt.Sprintf("%X", v) },
			"query":         url.QueryEscape,
			"path segment":  url.PathEscape,
			"query, small":  func(v string) string { return smallEscapes(url.QueryEscape(v)) },
			"path, small":   func(v string) string { return smallEscapes(url.PathEscape(v)) },
			"user info":     func(v string) string { return strings.TrimPrefix(url.UserPassword("", v).String(), ":") },
			"JSON":          func(v string) string { b, _ := json.Marshal(v); return strings.Trim(string(b), `"`) },
			"JSON, no HTML": func(v string) string { s := plainJSON(v); return s[1 : len(s)-1] },
			"%q":            func(v string) string { s := fmt.Sprintf("%q", v); return s[1 : len(s)-1] },
			"%+q":           func(v string) string { s := fmt.Sprintf("%+q", v); return s[1 : len(s)-1] },
			"HTML":          html.EscapeString,
			"XML":           func(v string) string { var b strings.Builder; _ = xml.EscapeText(&b, []byte(v)); return b.String() },
			"AppendQuote":   func(v string) string { s := strconv.Quote(v); return s[1 : len(s)-1] },
		} {
			t.Run(form, func(t *testing.T) {
				for about, value := range awkward {
					if form == "XML" && about == "tabs and controls" {
						continue // XML has no such characters
					}
					require.Equal(t, "<[KEY]>", redact.New(secret("KEY", value)).String("<"+encode(value)+">"), about)
				}
			})
		}
	})

	// cat prints a file of local secrets as its author or a library has written it.
	t.Run("YAML", func(t *testing.T) {
		for about, value := range awkward {
			text, err := yaml.Marshal(map[string]string{"k": value})
			require.NoError(t, err)
			masked := redact.New(secret("KEY", value)).String(string(text))
			if strings.HasPrefix(string(text), "k: |") || strings.Contains(string(text), "\u2028") {
				continue // a block has one line for each of the value
			}
			require.Equal(t, "k: [KEY]\n", strings.NewReplacer(`"`, "", "'", "").Replace(masked), "%s: %s", about, text)
		}
	})

	// A masker that includes the padding of the encoded value misses it inside a
	// longer encoding.
	t.Run("inside longer base64, at every offset", func(t *testing.T) {
		for about, value := range awkward {
			r := redact.New(secret("KEY", value))
			for before := range 36 {
				for after := range 3 {
					whole := strings.Repeat("x", before) + value + strings.Repeat("y", after)
					for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
						text := encoding.EncodeToString([]byte(whole))
						// Characters that share bits with a neighbor are unchanged.
						first, end := (8*before+5)/6, 8*(before+len(value))/6
						want := text[:first] + "[KEY]"
						if after > 0 {
							want += text[end:]
						}
						require.Equal(t, want, r.String(text), "%s at offset %d of %d bytes", about, before, len(whole))
					}
				}
			}
		}
	})

	t.Run("basic authentication", func(t *testing.T) {
		r := redact.New(secret("KEY", awkward["a token"]))
		for _, user := range []string{"", "u", "ci", "bot", "x-access-token"} {
			header := base64.StdEncoding.EncodeToString([]byte(user + ":" + awkward["a token"]))
			require.Contains(t, r.String("Authorization: Basic "+header), "[KEY]", "the user %q shifts the password", user)
		}
	})

	// Recorded output of encoders that need a large installation.
	t.Run("output recorded from large installations", func(t *testing.T) {
		const value = `a"b'c+d/e<f>g&h=i` + "`j\\k\té😀\x7f"
		for encoder, text := range map[string]string{
			"System.Text.Json of .NET": `a\u0022b\u0027c\u002Bd/e\u003Cf\u003Eg\u0026h=i\u0060j\\k\t\u00E9\uD83D\uDE00\u007F`,
			"Gson":                     `a\"b\u0027c+d/e\u003cf\u003eg\u0026h\u003di` + "`" + `j\\k\té😀` + "\x7f",
			"json_encode of PHP":       `a\"b'c+d\/e<f>g&h=i` + "`" + `j\\k\t\u00e9\ud83d\ude00` + "\x7f",
			"json_encode, unescaped":   `a\"b'c+d\/e<f>g&h=i` + "`" + `j\\k\té😀` + "\x7f",
			"Jackson, not ASCII":       `a\"b'c+d/e<f>g&h=i` + "`" + `j\\k\t\u00E9\uD83D\uDE00` + "\x7f",
		} {
			require.Equal(t, `"[KEY]"`, redact.New(secret("KEY", value)).String(`"`+text+`"`), encoder)
		}
	})
}

var percent = regexp.MustCompile("%..")

// smallEscapes returns text with lower-case digits in its URL escapes.
func smallEscapes(text string) string { return percent.ReplaceAllStringFunc(text, strings.ToLower) }

// TestEncoders_Locales checks what bash and dash print of characters from all of
// Unicode, and of bytes that are none.
func TestEncoders_Locales(t *testing.T) {
	testenv.Program(t, "bash")
	testenv.Program(t, "dash")
	rng := rand.New(rand.NewPCG(1, 9))
	special := []rune{0x80, 0x9f, 0xa0, 0xad, 0x378, 0x600, 0x200b, 0x2028, 0x2029, 0x202e, 0xe000, 0xfeff, 0xfffd, 0xfffe, 0x1f600, 0x10ffff}
	var values []string
	for i := range 400 {
		value := []rune("s3cr3t")
		for range 6 {
			if r := rune(rng.IntN(0x3000)); !unicode.In(r, unicode.Cn, unicode.Cs) && r > 0 {
				value = append(value, r)
			}
			value = append(value, special[rng.IntN(len(special))])
		}
		text := string(value) + "end"
		if i%5 == 0 {
			text = "\xc3" + text + "\xff\xe2\x80." // bash reads past a cut-off character
		}
		values = append(values, text)
	}
	for _, locale := range []string{"C", "C.UTF-8"} {
		for about, script := range map[string]string{
			"bash %q":       `while IFS= read -r -d '' v; do printf '%q\0' "$v"; done`,
			"bash @Q":       `while IFS= read -r -d '' v; do printf '%s\0' "${v@Q}"; done`,
			"bash declare":  `while IFS= read -r -d '' v; do declare -p v; printf '\0'; done`,
			"bash set":      `while IFS= read -r -d '' v; do set | grep -a '^v='; printf '\0'; done`,
			"bash trace":    `exec 2>&1; while IFS= read -r -d '' v; do set -x; : "$v"; set +x; printf '\0'; done`,
			"coreutils %q":  `while IFS= read -r -d '' v; do env printf '%q\0' "$v"; done`,
			"dash in xargs": `xargs -0 -n1 dash -c 'set -x; : "$0"' 2>&1`,
		} {
			t.Run(about+" in "+locale, func(t *testing.T) {
				t.Parallel()
				list := values
				if about == "coreutils %q" || about == "dash in xargs" {
					list = values[:50] // a process for each
				}
				if about == "coreutils %q" || about == "bash set" || about == "dash in xargs" {
					list = slices.DeleteFunc(slices.Clone(list), func(v string) bool { return strings.ContainsAny(v, "'\n") })
				}
				cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
				cmd.Stdin = strings.NewReader(strings.Join(list, "\x00") + "\x00")
				cmd.Env = append(os.Environ(), "LC_ALL="+locale)
				out, err := cmd.Output()
				require.NoError(t, err)
				var secrets []bundle.Secret
				for i, v := range list {
					secrets = append(secrets, secret(fmt.Sprint("KEY_", i), v))
				}
				masked := redact.New(secrets...).String(string(out))
				require.NotContains(t, masked, "s3cr3t", "a complete form must be masked")
				require.Equal(t, len(list), strings.Count(masked, "[KEY_"))
			})
		}
	}
}
