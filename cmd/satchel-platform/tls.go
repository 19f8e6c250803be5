package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/internal/atomicfile"
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

// selfSignedFiles are those that selfSigned makes.
func selfSignedFiles(dir string) (certFile, keyFile string) {
	return filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem")
}

// selfSigned returns the files of a certificate for this machine's own names, in
// dir. It makes what is not there.
func selfSigned(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = selfSignedFiles(dir)
	_, err = os.Stat(certFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return certFile, keyFile, err
	}
	// The key first, and only once: whoever is second uses that of the first,
	// and so the certificate of either fits it.
	_, err = createOnce(keyFile, func(draft string) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		return atomicfile.Create(draft, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	})
	if err != nil {
		return "", "", err
	}
	_, err = createOnce(certFile, func(draft string) error {
		text, err := signSelf(keyFile)
		if err != nil {
			return err
		}
		if err := atomicfile.Create(draft, text); err != nil {
			return err
		}
		return os.Chmod(draft, 0o644) // it is public
	})
	return certFile, keyFile, err
}

// signSelf returns a certificate for the key in a file.
func signSelf(keyFile string) ([]byte, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not a key that this program made", keyFile)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "satchel platform on this machine"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		// No authority: those who trust it trust it for this machine only.
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
