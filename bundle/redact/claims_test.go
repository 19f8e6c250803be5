package redact_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
)

// These tests check the statements of docs/redaction.md that no other test checks,
// in the order of the page.

func TestClaims(t *testing.T) {
	t.Run("a value is found without the whitespace around it", func(t *testing.T) {
		for _, value := range []string{"s3cr3t-value\n", "s3cr3t-value\r\n", "  s3cr3t-value\t", "\ns3cr3t-value\n\n"} {
			r := redact.New(secret("KEY", value))
			require.Equal(t, "<[KEY]>", r.String("<s3cr3t-value>"), "%q", value)
			require.Equal(t, "<[KEY]>", r.String("<"+value+">"), "%q: one match including the whitespace", value)
			require.Equal(t, "<[KEY]>", r.String("<"+base64.StdEncoding.EncodeToString([]byte("s3cr3t-value"))+">"), "%q in base64", value)
			require.Equal(t, "<[KEY]>", r.String("<"+hex.EncodeToString([]byte("s3cr3t-value"))+">"), "%q in hex", value)
		}
	})

	t.Run("a .env file in base64 shows no value", func(t *testing.T) {
		r := redact.New(secret("A", "first-s3cr3t"), secret("B", "second-s3cr3t"))
		file := "# settings\nDEBUG=1\nA=first-s3cr3t\nB='second-s3cr3t'\n"
		masked := r.String(base64.StdEncoding.EncodeToString([]byte(file)))
		require.Contains(t, masked, "[A]")
		require.Contains(t, masked, "[B]")
		require.True(t, strings.HasPrefix(masked, base64.StdEncoding.EncodeToString([]byte("# settings\n"))[:14]), "the text around them is unchanged: %s", masked)
	})

	t.Run("the lines of a value are found in any context", func(t *testing.T) {
		r := redact.New(secret("KEY", "-----BEGIN TEST KEY-----\nMIIEvQIBADANBgkq\n  hkiG9w0BAQEFAASC\nshort\n-----END TEST KEY-----\n"))
		require.Equal(t,
			"12: [KEY]\r\n\t[KEY] # [KEY]\n-----BEGIN TEST KEY-----\nshort\n",
			r.String("12: MIIEvQIBADANBgkq\r\n\thkiG9w0BAQEFAASC # MIIEvQIBADANBgkq\n-----BEGIN TEST KEY-----\nshort\n"))
	})

	t.Run("a line that only begins like boilerplate is masked", func(t *testing.T) {
		for _, line := range []string{
			"-----BEGIN TEST KEY-----MIIEvQIBADANBgkqhkiG9w0BAQEFAASC-----END TEST KEY-----",
			"-----BEGIN TEST KEY-----MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
			"-----END TEST KEY----- s3cr3t",
			`<?xml version="1.0"?><password>s3cr3t</password>`,
			"#!/usr/bin/env -S TOKEN=s3cr3t bash",
		} {
			r := redact.New(secret("KEY", "first line\n"+line+"\n"))
			require.Equal(t, "<[KEY]>", r.String("<"+line+">"))
		}
	})

	t.Run("a URL with a secret in it is masked under any JSON key", func(t *testing.T) {
		for _, address := range []string{
			"postgres://app:p4ssw0rd@db/app",
			"postgres://app:p4ss/w0rd@db/app", // unescaped, so it does not parse
			"postgres://app:p4ss%w0rd@db/app",
			"https://storage.example.com/file?sig=s3cr3t",
			"amqp://s3cr3t-t0ken@queue",
		} {
			r := redact.New(secret("KEY", fmt.Sprintf(`{"service_url": %q, "service_uri": "https://example.com/public"}`, address)))
			require.Equal(t, "<[KEY]> https://example.com/public", r.String("<"+address+"> https://example.com/public"))
		}
	})

	t.Run("parts shorter than 8 bytes are not masked", func(t *testing.T) {
		r := redact.New(secret("LINES", "first-7\nsecond-8\nthird-line"), secret("JSON", `{"a":"seven-7","b":"eight--8","c":["nested7"]}`))
		require.Equal(t, "first-7 [LINES] [LINES]", r.String("first-7 second-8 third-line"))
		require.Equal(t, "seven-7 [JSON] nested7", r.String("seven-7 eight--8 nested7"))
	})

	t.Run("the strings of a JSON value are found in all forms", func(t *testing.T) {
		inner, err := json.Marshal(map[string]string{"deep": "inner/s3cr3t"})
		require.NoError(t, err)
		value, err := json.Marshal(map[string]any{
			"type": "service_account", "universe_domain": "example.com", "auth_uri": "https://example.com/auth",
			"base_url": "https://example.com/base", "db_url": "postgres://app:p4ssw0rd@db/app",
			"password": "outer/s3cr3t", "list": []any{"listed-s3cr3t", map[string]string{"k": "nested-s3cr3t"}},
			"short": "seven77", "number": 1234567890, "credentials": string(inner),
		})
		require.NoError(t, err)
		r := redact.New(secret("KEY", string(value)))
		for _, leaf := range []string{"outer/s3cr3t", "listed-s3cr3t", "nested-s3cr3t", "postgres://app:p4ssw0rd@db/app", "inner/s3cr3t", string(inner)} {
			require.Equal(t, "<[KEY]>", r.String("<"+leaf+">"))
			require.Equal(t, "<[KEY]>", r.String("<"+base64.StdEncoding.EncodeToString([]byte(leaf))+">"), "%s in base64", leaf)
			require.Equal(t, "<[KEY]>", r.String("<"+hex.EncodeToString([]byte(leaf))+">"), "%s in hex", leaf)
		}
		for _, public := range []string{"service_account", "example.com", "https://example.com/auth", "https://example.com/base", "seven77", "1234567890", "{", "password", `"type": "`} {
			require.Equal(t, public, r.String(public), "public text is not masked")
		}
	})

	t.Run("a prompt is written immediately", func(t *testing.T) {
		var out bytes.Buffer
		w := redact.New(secret("KEY", "s3cr3t-value")).Writer(&out)
		_, err := fmt.Fprint(w, "Password: ")
		require.NoError(t, err)
		require.Equal(t, "Password: ", out.String())
	})
}

// These are the documented limits of masking. If a row fails because the text is
// now masked, update the page.
func TestClaims_Limits(t *testing.T) {
	const value = "s3cr3t/Value-of-a-t0ken-that-is-longer-than-a-line-of-base64-by-far"
	zipped := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.String()
	}
	b64 := base64.StdEncoding.EncodeToString
	reversed := []byte(value)
	slices.Reverse(reversed)
	quoted, err := json.Marshal(`"` + value + `"`)
	require.NoError(t, err)
	twice, err := json.Marshal(string(quoted))
	require.NoError(t, err)
	r := redact.New(secret("KEY", value), secret("PIN", "12345"), secret("ENV", "USER_NAME=deploy\nPASSWORD=an0ther-one\nA=b\n"))
	for about, text := range map[string]string{
		"reversed":              string(reversed),
		"spaces between":        strings.Join(strings.Split(value, ""), " "),
		"base64 of base64":      b64([]byte(b64([]byte(value)))),
		"base64 of a gzip file": b64([]byte(zipped(value))),
		"gzip":                  zipped(value),
		"base64 in lines":       b64([]byte(value))[:76] + "\n" + b64([]byte(value))[76:],
		"xxd":                   "00000000: 7333 6372 3374 2f56 616c 7565 2d6f 662d  s3cr3t/Value-of-\n",
		"a list of bytes":       fmt.Sprint([]byte(value)),
		"base32":                base32.StdEncoding.EncodeToString([]byte(value)),
		"other entities":        html.EscapeString("<") + strings.ReplaceAll(value, "/", "&#47;"),
		"UTF-16":                strings.Join(strings.Split(value, ""), "\x00"),
		"quoted-printable":      value[:30] + "=\r\n" + value[30:],
		"mixed hex":             strings.ToUpper(hex.EncodeToString([]byte(value[:32]))) + hex.EncodeToString([]byte(value[32:])),
		"half of it":            value[:len(value)/2],
		"different case":        strings.ToUpper(value),
		"without the key":       "an0ther-one",
		"a short line":          "A=b",
		"a short value":         "12345",
	} {
		require.Equal(t, text, r.String(text), about)
	}
	require.NotContains(t, r.String(string(twice)), value, "a value without characters to escape is unchanged by repeated JSON quoting")
	require.Equal(t, "[ENV]", r.String("PASSWORD=an0ther-one"))

	special := redact.New(secret("KEY", `pass"w\rd`))
	once := strconv.Quote(`pass"w\rd`)
	require.Equal(t, `"[KEY]"`, special.String(once))
	require.Equal(t, `"\"[KEY]\""`, special.String(strconv.Quote(once)), "JSON inside JSON")
	thrice := strconv.Quote(strconv.Quote(once))
	require.Equal(t, thrice, special.String(thrice), "escaped three times")

	word := redact.New(secret("STAGE", "production"), secret("CONFIG", `{"region":"eu-central-1"}`))
	require.Equal(t, "[STAGE] in [CONFIG]", word.String("production in eu-central-1"), "ordinary words that are secrets are masked everywhere")
}
