package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is how often the certificate's files are looked at.
const lookEvery = time.Second

// certificate is the server's, read again when its files change. While they do
// not fit together, as in the middle of a change, the one before serves.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[loaded]
	looking           atomic.Bool
}

// loaded is what the files held.
type loaded struct {
	certificate *tls.Certificate
	files       string // how they looked when it was read
	refused     string // how they looked when they did not fit last
	looked      time.Time
}

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	files, err := c.stamp()
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	c.current.Store(&loaded{certificate: &pair, files: files, looked: time.Now()})
	return c, nil
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := c.current.Load()
	if time.Since(now.looked) >= lookEvery && c.looking.CompareAndSwap(false, true) {
		defer c.looking.Store(false)
		now = c.look(*now)
		c.current.Store(now)
	}
	return now.certificate, nil
}

// look returns what the files hold now.
func (c *certificate) look(now loaded) *loaded {
	now.looked = time.Now()
	files, err := c.stamp()
	if err == nil && files == now.files {
		return &now
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	if err != nil {
		if files != now.refused {
			c.log.Error("the new certificate cannot be used; the one before serves", "error", err)
		}
		now.refused = files
		return &now
	}
	c.log.Info("the certificate was read again", "file", c.certFile, "expires", pair.Leaf.NotAfter)
	return &loaded{certificate: &pair, files: files, looked: now.looked}
}

// stamp says how the files look from outside.
func (c *certificate) stamp() (string, error) {
	var stamp string
	for _, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprintf("%d %s\n", info.Size(), info.ModTime())
	}
	return stamp, nil
}
