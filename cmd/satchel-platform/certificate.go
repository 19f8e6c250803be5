package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is the shortest interval between two checks of the certificate's files.
const lookEvery = time.Second

// certificate is the server's certificate. It is reloaded when its files change. While
// they do not match, as in the middle of a change, the previous one is used.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[loaded]
	looking           atomic.Bool
}

// loaded is the content of the files at one time.
type loaded struct {
	certificate *tls.Certificate
	files       string    // their stamp when the certificate was read
	refused     string    // their stamp when they were last invalid
	looked      time.Time // the time of the last check
}

// newCertificate loads the certificate.
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

// look checks the files and returns their current content, or now if they are
// unchanged or invalid.
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
			c.log.Error("invalid new certificate; still using the previous one", "error", err)
		}
		now.refused = files
		return &now
	}
	c.log.Info("certificate reloaded", "file", c.certFile, "expires", pair.Leaf.NotAfter)
	return &loaded{certificate: &pair, files: files, looked: now.looked}
}

// stamp returns the sizes and modification times of the files.
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
