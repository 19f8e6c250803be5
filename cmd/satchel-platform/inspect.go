package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// inspect reads every file that the settings name for the command, and returns one
// error for each problem. It creates nothing and calls no service. It skips settings
// that check refuses.
func (c *config) inspect(ctx context.Context) error {
	if c.command == "" || c.command == "keygen" {
		return nil
	}
	errs := []error{c.inspectData(), c.inspectDatabase(), c.inspectKeys(ctx), c.inspectAuditFile()}
	if keeps(c.github.keyFile) {
		_, err := c.github.key()
		errs = append(errs, err)
	}
	if keeps(c.bitbucket.secretFile) {
		_, err := c.bitbucket.secret(ctx)
		errs = append(errs, err)
	}
	if c.command == "serve" {
		errs = append(errs, c.inspectAdminToken(), c.inspectCertificate())
	}
	return errors.Join(errs...)
}

func (c *config) inspectData() error {
	info, err := os.Stat(c.data)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it will be created
		return nil
	case err != nil:
		return fmt.Errorf("-data: %w", err)
	case !info.IsDir():
		return fmt.Errorf("-data: %s is not a folder; name a folder, which is created if missing", c.data)
	}
	return nil
}

func (c *config) inspectDatabase() error {
	if c.postgres() {
		_, err := c.postgresSettings()
		return err
	}
	if otherDatabase.MatchString(c.database) {
		return nil
	}
	err := writable(c.database)
	if errors.Is(err, fs.ErrNotExist) {
		if c.startsEmpty() {
			return nil
		}
		err = fmt.Errorf("%s does not exist; name the right database with -database or -data", c.database)
	}
	if err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	return nil
}

func (c *config) inspectKeys(ctx context.Context) error {
	refs := c.keyRefs()
	if services[c.kek.service] == nil || c.kek.key == "" || c.makesKey() {
		refs = refs[1:]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := c.openKeys(ctx, nil, refs) // without a log, because nothing is reloaded
	return err
}

// makesKey reports whether the key file is missing, so that a new platform creates it.
func (c *config) makesKey() bool {
	if c.command != "serve" || c.kek.service != "local" {
		return false
	}
	_, err := os.Stat(c.kek.key)
	return errors.Is(err, fs.ErrNotExist)
}

func (c *config) inspectAuditFile() error {
	if c.auditFile == "" {
		return nil
	}
	err := writable(c.auditFile)
	if errors.Is(err, fs.ErrNotExist) {
		// The file will be created, and these folders before it.
		folder := filepath.Dir(c.auditFile)
		if slices.Contains([]string{filepath.Clean(c.data), filepath.Dir(c.database)}, folder) {
			return nil
		}
		_, err = os.Stat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("the folder %s does not exist; create it, or name another file", folder)
		}
	}
	if err != nil {
		return fmt.Errorf("-audit-file: %w", err)
	}
	return nil
}

func (c *config) inspectAdminToken() error {
	if c.adminToken != "" || !keeps(c.adminTokenFile) {
		return nil
	}
	_, err := c.readAdminToken()
	if errors.Is(err, fs.ErrNotExist) { // it will be created
		return nil
	}
	return err
}

func (c *config) inspectCertificate() error {
	if c.insecureLoopback || (c.tlsCert == "") != (c.tlsKey == "") {
		return nil
	}
	made, madeKey := selfSignedFiles(c.data)
	if c.tlsCert == "" {
		if _, err := os.Stat(made); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	_, err := newCertificate(cmp.Or(c.tlsCert, made), cmp.Or(c.tlsKey, madeKey), nil)
	return err
}
