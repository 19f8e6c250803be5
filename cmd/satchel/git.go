package main

import (
	"context"
	"errors"
	"strings"

	"github.com/satchelhq/satchel/job"
)

// gitCredentials parses flags of the form SECRET=URL or USER:SECRET=URL.
func gitCredentials(flags []string) ([]job.GitCredential, error) {
	var out []job.GitCredential
	for _, text := range flags {
		secret, url, ok := strings.Cut(text, "=")
		if !ok {
			return nil, errors.New("--git: want SECRET=URL, such as GITHUB_TOKEN=https://github.com, or USER:SECRET=URL")
		}
		c := job.GitCredential{URL: url, Secret: secret}
		if user, name, ok := strings.Cut(secret, ":"); ok {
			c.Username, c.Secret = user, name
		}
		if err := c.Check(); err != nil {
			return nil, errors.New("--git: " + explained(err, flagNames))
		}
		out = append(out, c)
	}
	return out, nil
}

// gitCredential is the credential helper that git starts inside a job.
func (p *program) gitCredential(ctx context.Context, args []string) error {
	return job.GitCredentialHelper(ctx, args, p.in, p.out)
}
