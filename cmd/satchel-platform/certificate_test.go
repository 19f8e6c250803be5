package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pair makes a certificate in a new folder and returns its files.
func pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := selfSigned(t.TempDir())
	require.NoError(t, err)
	return certFile, keyFile
}

// replace copies the content of a file to path, and sets its modification time.
func replace(t *testing.T, path, with string, age time.Duration) {
	t.Helper()
	content, err := os.ReadFile(with)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	at := time.Now().Add(-age)
	require.NoError(t, os.Chtimes(path, at, at))
}

func TestCertificate(t *testing.T) {
	t.Run("serves a new certificate without a restart", func(t *testing.T) {
		certFile, keyFile := pair(t)
		newCert, newKey := pair(t)
		p := start(t, t.TempDir(), "-tls-cert", certFile, "-tls-key", keyFile)
		require.NotContains(t, p.out.String(), "SSL_CERT_FILE", "a configured certificate needs no hint")
		p.client = trusting(t, certFile)
		require.Equal(t, 200, p.do("GET", "/healthz", "").status)

		replace(t, keyFile, newKey, time.Hour)
		replace(t, certFile, newCert, time.Hour)
		require.Eventually(t, func() bool {
			p.client.CloseIdleConnections()
			p.client = trusting(t, newCert)
			a, err := p.try("GET", "/healthz", "")
			return err == nil && a.status == 200
		}, patience, 50*time.Millisecond)
	})

	t.Run("keeps the old certificate until the new key matches", func(t *testing.T) {
		certFile, keyFile := pair(t)
		newCert, newKey := pair(t)
		synctest.Test(t, func(t *testing.T) {
			var log text
			c, err := newCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
			require.NoError(t, err)
			now := c.get
			before := now()
			replace(t, certFile, newCert, time.Hour)
			require.Same(t, before, now(), "the files are checked at most once a second")
			for range 5 {
				time.Sleep(lookEvery)
				require.Same(t, before, now(), "the key does not match yet")
			}
			require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "the mismatch is logged once")
			require.NoError(t, os.Remove(keyFile))
			time.Sleep(lookEvery)
			require.Same(t, before, now(), "a missing file changes nothing")
			replace(t, keyFile, newKey, time.Hour)
			time.Sleep(lookEvery)
			require.NotEqual(t, before.Leaf.SerialNumber, now().Leaf.SerialNumber)
			require.Contains(t, log.String(), "file reloaded")
		})
	})

	t.Run("must be readable at startup", func(t *testing.T) {
		certFile, _ := pair(t)
		code, out, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-tls-cert", certFile, "-tls-key", filepath.Join(t.TempDir(), "none"))
		require.Equal(t, exitUsage, code)
		require.NotContains(t, out, "Serving")
		require.Contains(t, stderr, "-tls-cert and -tls-key")
	})
}

func TestSelfSigned(t *testing.T) {
	certFile, keyFile := pair(t)
	loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		require.NoError(t, loaded.Leaf.VerifyHostname(host))
	}
	require.Error(t, loaded.Leaf.VerifyHostname("example.com"))
	require.False(t, loaded.Leaf.IsCA, "it cannot sign others")
}

func TestHandshakes(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 1, slog.LevelDebug: 2} {
		var log text
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})
		errors := slog.NewLogLogger(&handshakes{handler}, slog.LevelWarn)
		errors.Print("http: TLS handshake error from 127.0.0.1:1: EOF")
		errors.Print("http: panic serving 127.0.0.1:1: a bug")
		require.Equal(t, want, strings.Count(log.String(), "\n"))
		require.Contains(t, log.String(), "a bug")
	}
}
