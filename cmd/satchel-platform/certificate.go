package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
)

// certificate is the server's certificate. It is reloaded when its files change.
type certificate struct{ reloaded[*tls.Certificate] }

// newCertificate loads the certificate.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{reloaded[*tls.Certificate]{
		setting: "-tls-cert and -tls-key", files: []string{certFile, keyFile}, log: log,
		load: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
			}
			return &pair, nil
		},
		about: func(c *tls.Certificate) []any { return []any{"expires", c.Leaf.NotAfter} },
	}}
	return c, c.start()
}

// forClient is for tls.Config.GetCertificate.
func (c *certificate) forClient(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }
