package redact_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// logs returns the ordinary output in testdata, from go build -x, git log -p, npm,
// gcc, go vet, go test, python, xxd, openssl and base64.
func logs(t testing.TB) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/logs/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	all := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all[filepath.Base(name)] = string(text)
	}
	return all
}

// randomSecrets returns n secrets from rng, in the formats of common issuers.
func randomSecrets(rng *mathrand.Rand, n int) []bundle.Secret {
	const alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	draw := func(alphabet string, size int) string {
		var b strings.Builder
		for range size {
			b.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	shapes := []func() string{
		func() string { return draw(alnum, 40) },
		func() string { return "ghp_" + draw(alnum, 36) },
		func() string { return "sk-ant-api03-" + draw(alnum+"-_", 93) },
		func() string { return "AKIA" + strings.ToUpper(draw(alnum, 16)) },
		func() string { return draw("0123456789abcdef", 64) },
		func() string { return draw("0123456789", 12) },
		func() string { return draw(alnum, 6) },
		func() string { return draw(alnum+"!@#$%^&*()-_=+", 16) },
		func() string { return "postgres://app:" + draw(alnum, 20) + "@db:5432/app" },
		func() string {
			return base64.StdEncoding.EncodeToString([]byte(draw(alnum, 33)))
		},
	}
	var secrets []bundle.Secret
	for i := range n {
		secrets = append(secrets, secret(fmt.Sprintf("SECRET_%d", i), shapes[i%len(shapes)]()))
	}
	return secrets
}

func requireUnchanged(t *testing.T, r *redact.Redactor, name, text string) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		require.Equal(t, line, r.String(line), "%s:%d is ordinary and must not be masked", name, i+1)
	}
	require.Equal(t, text, r.String(text), "%s is ordinary and must not be masked", name)
}

func TestOvermask(t *testing.T) {
	t.Run("ordinary output is unchanged", func(t *testing.T) {
		for seed := range uint64(5) {
			secrets := randomSecrets(mathrand.New(mathrand.NewPCG(seed, 1)), 200)
			r := redact.New(secrets...)
			for name, text := range logs(t) {
				requireUnchanged(t, r, name, text)
			}
			require.Contains(t, r.String("x"+secrets[3].Value.Reveal()), "[SECRET_3]", "the redactor must mask the secrets")
		}
	})

	t.Run("structured secrets do not mask the lines that all of their kind share", func(t *testing.T) {
		ordinary := logs(t)
		for kind, pair := range structured(t) {
			t.Run(kind, func(t *testing.T) {
				r := redact.New(secret("KEY", pair[0]))
				requireUnchanged(t, r, "another "+kind, pair[1])
				for name, text := range ordinary {
					requireUnchanged(t, r, name, text)
				}
				require.Equal(t, "[KEY]", r.String(pair[0]), "the complete value is one match")
			})
		}
	})

	// Other runners print JSON secrets with only the braces masked.
	t.Run("every secret line of a structured secret is masked", func(t *testing.T) {
		for kind, pair := range structured(t) {
			t.Run(kind, func(t *testing.T) {
				value := pair[0]
				r := redact.New(secret("KEY", value))
				for _, lineEnd := range []string{"\n", "\r\n"} {
					var indented strings.Builder
					for line := range strings.Lines(strings.ReplaceAll(value, "\r\n", "\n")) {
						indented.WriteString("    " + strings.TrimRight(line, "\n") + lineEnd)
					}
					got := r.String(indented.String())
					for line := range strings.Lines(got) {
						line = strings.TrimSpace(line)
						for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(` "':,=`, r) }) {
							long := len(word) >= 20 && !strings.Contains(word, "KEY") && !strings.Contains(word, "/") && !strings.HasPrefix(word, "auth_provider")
							require.False(t, long && strings.Contains(value, word), "%q is left of %s", word, kind)
						}
					}
					require.Contains(t, got, "[KEY]")
				}
			})
		}
	})
}

// structured returns pairs of secrets of the same kind from different owners. The
// lines that they share are not secret.
func structured(t testing.TB) map[string][2]string {
	t.Helper()
	rsaPEM := func(kind string) string {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		der := x509.MarshalPKCS1PrivateKey(key)
		if kind == "PRIVATE KEY" {
			der, err = x509.MarshalPKCS8PrivateKey(key)
			require.NoError(t, err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	encrypted := func() string {
		return string(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: random(300),
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC," + strings.ToUpper(hex.EncodeToString(random(16)))},
		}))
	}
	ed := func() string {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	n := 0
	serviceAccount := func() string {
		n++
		id := fmt.Sprint("project-", n, "-", hex.EncodeToString(random(3)))
		b, err := json.MarshalIndent(map[string]string{
			"type": "service_account", "project_id": id, "private_key_id": hex.EncodeToString(random(20)),
			"private_key":  rsaPEM("PRIVATE KEY"),
			"client_email": "runner@" + id + ".iam.example.com", "client_id": fmt.Sprint(100000000000+n*7919, n),
			"auth_uri": "https://accounts.example.com/o/oauth2/auth", "token_uri": "https://oauth2.example.com/token",
			"auth_provider_x509_cert_url": "https://www.example.com/oauth2/v1/certs",
			"universe_domain":             "example.com",
		}, "", "  ")
		require.NoError(t, err)
		return string(b)
	}
	kubeconfig := func() string {
		n++
		b64 := func() string { return base64.StdEncoding.EncodeToString(random(60)) }
		return fmt.Sprintf("apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: %s\n    server: https://10.0.%d.1:6443\n  name: cluster-%d\ncontexts:\n- context:\n    cluster: cluster-%d\n    user: admin-%d\n  name: context-%d\ncurrent-context: context-%d\nkind: Config\npreferences: {}\nusers:\n- name: admin-%d\n  user:\n    client-certificate-data: %s\n    client-key-data: %s\n",
			b64(), n, n, n, n, n, n, n, b64(), b64())
	}
	aws := func() string {
		return "[default]\nregion = eu-central-1\noutput = json\naws_access_key_id = AKIA" + strings.ToUpper(hex.EncodeToString(random(8))) + "\naws_secret_access_key = " + base64.StdEncoding.EncodeToString(random(30)) + "\n"
	}
	docker := func() string {
		b, err := json.Marshal(map[string]any{"auths": map[string]any{"registry.example.com": map[string]string{"auth": base64.StdEncoding.EncodeToString(random(24))}}, "credsStore": ""})
		require.NoError(t, err)
		return string(b)
	}
	two := func(f func() string) [2]string { return [2]string{f(), f()} }
	return map[string][2]string{
		"RSA key":         two(func() string { return rsaPEM("RSA PRIVATE KEY") }),
		"PKCS 8 key":      two(func() string { return rsaPEM("PRIVATE KEY") }),
		"encrypted key":   two(encrypted),
		"Ed25519 key":     two(ed),
		"service account": two(serviceAccount),
		"kubeconfig":      two(kubeconfig),
		"AWS credentials": two(aws),
		"Docker config":   two(docker),
		"windows PEM":     two(func() string { return strings.ReplaceAll(rsaPEM("PRIVATE KEY"), "\n", "\r\n") }),
		"public boilerplate": {
			"#!/bin/sh\n<?xml version=\"1.0\"?>\n[profile one]\n========\nusername:\n  password:\n" + hex.EncodeToString(random(20)) + "\n",
			"#!/bin/sh\n<?xml version=\"1.0\"?>\n[profile one]\n========\nusername:\n  password:\n",
		},
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
