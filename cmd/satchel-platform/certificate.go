package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"

	"github.com/satchelhq/satchel/internal/regularfile"
)

// certificate is the server's certificate. It is reloaded when its files change.
type certificate struct{ reloaded[*tls.Certificate] }

// newCertificate loads the certificate.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{reloaded[*tls.Certificate]{
		setting: "-tls-cert and -tls-key", files: []string{certFile, keyFile}, log: log,
		load: func() (*tls.Certificate, error) {
			pair, err := loadPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
			}
			return &pair, nil
		},
		about: func(c *tls.Certificate) []any { return []any{"expires", c.Leaf.NotAfter} },
	}}
	return c, c.start()
}

// loadPair reads a certificate and its key. A key that only another user may read is
// refused, as other credentials are. One that its owner shares with a group, as ACME
// clients do, is not.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if info.Mode().Perm()&0o077 == 0 {
		if err := regularfile.CheckPrivate(keyFile, info); err != nil {
			return tls.Certificate{}, err
		}
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// forClient is for tls.Config.GetCertificate.
func (c *certificate) forClient(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }
