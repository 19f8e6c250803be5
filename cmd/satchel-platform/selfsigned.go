package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

// selfSignedFiles returns the paths of the files that selfSigned creates.
func selfSignedFiles(dir string) (certFile, keyFile string) {
	return filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem")
}

// selfSigned returns the files in dir of a certificate for this machine's loopback
// names. It creates missing files.
func selfSigned(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = selfSignedFiles(dir)
	_, err = os.Stat(certFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return certFile, keyFile, err
	}
	// The key is created first, and once: concurrent processes use the same key, so
	// the certificate of each matches it.
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
	text, err := readPrivate(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("%s is not in PEM format", keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s has a key of another type than this program creates", keyFile)
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
		// It is not an authority, so clients trust it for this machine only.
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
