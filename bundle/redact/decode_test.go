package redact_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
)

func TestRedactor_Decoded(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	block := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	body := strings.Join(strings.Split(strings.TrimSpace(block), "\n")[1:26], "\n")
	asJSON, err := json.Marshal(map[string]string{"type": "service_account", "private_key": block})
	require.NoError(t, err)
	in64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	oneLine := func(between string) string {
		return strings.ReplaceAll(strings.TrimSpace(block), "\n", between)
	}

	t.Run("each line of a key is masked however the key is stored", func(t *testing.T) {
		for about, stored := range map[string]string{
			`\n`:                          oneLine(`\n`),
			`\n at the end`:               strings.ReplaceAll(block, "\n", `\n`),
			`\r\n`:                        oneLine(`\r\n`),
			`\n twice escaped`:            oneLine(`\\n`),
			`\n in quotes`:                `"` + oneLine(`\n`) + `"`,
			`\n in single quotes`:         `'` + oneLine(`\n`) + `'`,
			"$'…'":                        `$'` + oneLine(`\n`) + `'`,
			`\012`:                        oneLine(`\012`),
			`\x0a`:                        oneLine(`\x0a`),
			`\u000a`:                      oneLine(`\u000a`),
			"%0A":                         url.QueryEscape(block),
			"%0a":                         oneLine("%0a"),
			"&#10;":                       oneLine("&#10;"),
			"&#xA;":                       oneLine("&#xA;"),
			"spaces":                      oneLine(" "),
			"nothing between lines":       oneLine(""),
			"bars":                        oneLine("|"),
			"commas":                      oneLine(","),
			"underscores":                 oneLine("_"),
			"`n":                          oneLine("`n"),
			"without its frame":           strings.ReplaceAll(body, "\n", ""),
			"base64 in YAML":              "users:\n- user:\n    client-key-data: " + in64(block) + "\n",
			"base64 in a .env file":       "A=1\nKEY=" + in64(block) + "\nB=2",
			"base64 in a URL":             "https://host.example/?key=" + in64(block),
			"base64":                      in64(block),
			"base64 for URLs":             base64.RawURLEncoding.EncodeToString([]byte(block)),
			"base64 in lines":             in64(block)[:76] + "\n" + in64(block)[76:],
			"base64 after its name":       "base64:" + in64(block),
			"a data URL":                  "data:application/x-pem-file;base64," + in64(block),
			"base64 twice":                in64(in64(block)),
			"base64 of JSON":              in64(string(asJSON)),
			`base64 of \n`:                in64(oneLine(`\n`)),
			"hex":                         hex.EncodeToString([]byte(block)),
			"hex in capitals":             fmt.Sprintf("%X", block),
			"base32":                      base32.StdEncoding.EncodeToString([]byte(block)),
			"JSON":                        string(asJSON),
			"JSON in base64 in JSON":      `{"auth":"` + in64(string(asJSON)) + `"}`,
			"JSON, percent-encoded":       url.QueryEscape(string(asJSON)),
			`\n in JSON, escaped as text`: fmt.Sprintf("%q", oneLine(`\n`)),
		} {
			t.Run(about, func(t *testing.T) {
				r := redact.New(secret("KEY", stored))
				require.Equal(t, "[KEY]", r.String(stored))
				for i, line := range strings.Split(body, "\n") {
					want := "  [KEY]\n"
					if len(line) < 8 {
						want = "  " + line + "\n"
					}
					require.Equal(t, want, r.String("  "+line+"\n"), "line %d", i+2)
				}
				require.Equal(t, "-----BEGIN RSA PRIVATE KEY-----\n", r.String("-----BEGIN RSA PRIVATE KEY-----\n"), "all keys have this line")
			})
		}
	})

	t.Run("a decoded value is masked in all forms", func(t *testing.T) {
		const value = `p4$$ "w0rd'é&<b>/x`
		for about, stored := range map[string]string{
			"base64": in64(value), "hex": hex.EncodeToString([]byte(value)), "entities": html.EscapeString(value), "query": url.QueryEscape(value), "path": url.PathEscape(value),
			"Go": fmt.Sprintf("%q", value), "ASCII": fmt.Sprintf("%+q", value), "base64 of base64": in64(in64(value)), "base32": base32.StdEncoding.EncodeToString([]byte("plain-s3cr3t-value")),
		} {
			r := redact.New(secret("KEY", stored))
			decoded := value
			if about == "base32" {
				decoded = "plain-s3cr3t-value"
			}
			quoted, err := json.Marshal(decoded)
			require.NoError(t, err)
			for _, text := range []string{decoded, in64(decoded), hex.EncodeToString([]byte(decoded)), url.QueryEscape(decoded), strings.Trim(string(quoted), `"`)} {
				require.Equal(t, "<[KEY]>", r.String("<"+text+">"), "%s: %s", about, text)
			}
		}
	})

	t.Run("base64 inside of a value is decoded", func(t *testing.T) {
		for _, before := range []string{"Basic ", "Authorization: Basic ", "//registry.example/:_auth=", "user:", "data:\n  password: "} {
			r := redact.New(secret("KEY", before+in64("bob:s3cret-Passw0rd")))
			require.Equal(t, "<[KEY]>", r.String("<bob:s3cret-Passw0rd>"), before)
		}
		claims := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"service_role"}`)) + ".c2lnbmF0dXJl"
		require.Equal(t, "service_role", redact.New(secret("KEY", claims)).String("service_role"), "claims are no secrets")
	})

	t.Run("a value is masked as a .env file has it", func(t *testing.T) {
		r := redact.New(secret("KEY", "pa$s w\"ord\\x9\n-`end\tx"))
		require.Equal(t, `KEY="[KEY]"`, r.String("KEY=\"pa\\$s w\\\"ord\\\\x9\\n-\\`end\\tx\""))
	})

	t.Run("data is masked in other encodings of data", func(t *testing.T) {
		for range 50 {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			require.NoError(t, err)
			data := string(private.Seed())
			std, forURLs, digits := in64(data), base64.RawURLEncoding.EncodeToString([]byte(data)), hex.EncodeToString([]byte(data))
			for _, stored := range []string{std, "base64:" + std, digits, "0x" + digits, strings.ToUpper(digits)} {
				r := redact.New(secret("KEY", stored))
				for _, text := range []string{data, digits, strings.ToUpper(digits), strings.TrimRight(std, "="), forURLs} {
					require.Equal(t, "[KEY]", r.String(text), "%s printed as %q", stored, text)
				}
			}
		}
	})

	t.Run("values that only look encoded mask nothing else", func(t *testing.T) {
		for _, value := range []string{
			"5f5f5f5f5f5f5f5f", "20202020202020202020", "AAAAAAAAAAAA", "ICAgICAgICAg", "X19fX19fX19f", "0000000000000000", "dGVzdA==", `a\n\n\nb`, "%20%20%20%20", "&lt;&gt;&amp;",
		} {
			r := redact.New(secret("KEY", value))
			for _, text := range []string{"________", "          ", "\x00\x00\x00\x00\x00\x00\x00\x00\x00", "test", "a\n\n", "<>&", "<  >", "00000000"} {
				require.Equal(t, text, r.String(text), value)
			}
		}
	})

	t.Run("text in other forms is unchanged", func(t *testing.T) {
		r := redact.New(secret("PATH", `C:\new\table\user`), secret("TOKEN", "ghp_R4nd0mLett3rsAndD1gits42"), secret("REGEXP", `^\d+\.\w+$`))
		for name, text := range logs(t) {
			requireUnchanged(t, r, name, text)
		}
	})
}
