package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/api"
)

// setupJSON is the output of setup with --json.
type setupJSON struct {
	Ready   bool        `json:"ready"`
	TokenID string      `json:"token_id"`
	Created bool        `json:"token_created"`
	Missing []string    `json:"missing"`
	Report  *reportJSON `json:"report,omitempty"`
}

// reviewAndConnect is step 3: it shows the choices, creates the token, writes the
// files, and connects unless a required secret is missing.
func (s *setup) reviewAndConnect(ctx context.Context) error {
	s.review()
	if !s.yes {
		sure, err := s.confirm(ctx, "Connect", "yes")
		if err != nil {
			return err
		}
		if !sure {
			fmt.Fprintln(s.out, "nothing was changed")
			return exitCode(codeFailed)
		}
	}
	if err := s.home.makePrivate(); err != nil {
		return fmt.Errorf("creating the folder of the runner: %w", err)
	}
	id, created, err := s.token(ctx)
	if err != nil {
		return err
	}
	if err := s.home.writeSettings(s.settings); err != nil {
		return fmt.Errorf("writing %s: %w", s.home.settings(), err)
	}
	fmt.Fprintf(s.out, "  wrote settings to %s\n\n", s.home.settings())

	result := setupJSON{TokenID: id, Created: created, Missing: []string{}}
	for _, need := range s.missing() {
		result.Missing = append(result.Missing, need.Name)
	}
	if len(result.Missing) > 0 {
		s.sayMissing()
	} else {
		layers, _, err := s.home.layers()
		if err != nil {
			return err
		}
		report := satchel.Check(ctx, layers)
		s.printReport(s.out, report)
		result.Ready, result.Report = report.OK(), new(describeReport(report))
		if result.Ready {
			fmt.Fprintln(s.out, "\nStart it with `satchel serve`, or run one job with `satchel run`.")
		}
	}
	if s.result != nil {
		if err := (&program{out: s.result}).printJSON(result); err != nil {
			return err
		}
	}
	if !result.Ready {
		return exitCode(codeFailed)
	}
	return nil
}

// review prints the choices, and the state of required secrets and integrations.
func (s *setup) review() {
	fmt.Fprintf(s.out, "\n%s\n", s.paint(s.out, bold, "Step 3 of 3: review and connect"))
	rows := [][]string{
		{"  platform", s.url},
		{"  scope", s.settings.Scope},
		{"  backend", s.settings.Backend},
		{"  concurrent jobs", strconv.Itoa(s.settings.Pool)},
	}
	for _, need := range s.needs.Items {
		rows = append(rows, []string{"  required", need.Name + ", " + s.state(need)})
	}
	for _, i := range s.integrations {
		state := "not minted yet"
		switch {
		case i.Problem != "":
			state = i.Problem
		case !i.Minted.IsZero():
			state = "minted " + moment(i.Minted)
		}
		rows = append(rows, []string{"  integration", i.Name + " in " + i.Scope + ", " + state})
	}
	fmt.Fprint(s.out, text.Columns(rows))
}

// unseen reports whether the platform itself says that this administrator may not see
// a token, or that it does not exist. A page of a gateway says nothing about it.
func unseen(err error) bool {
	refused, ok := errors.AsType[*admin.Error](err)
	if !ok || refused.Type == "" {
		return false
	}
	switch refused.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// token makes sure that .env has a token for the scope, and returns its ID. It keeps
// a token that is still valid, and creates another one otherwise.
func (s *setup) token(ctx context.Context) (id string, created bool, err error) {
	before, err := s.file.token()
	if err != nil {
		return "", false, err
	}
	ended := false
	old, wellFormed := providers.TokenID(before)
	if wellFormed {
		info, err := s.admin.Token(ctx, old)
		if err == nil && s.serves(info) {
			fmt.Fprintf(s.out, "  kept token %s in %s\n", old, s.file.path)
			return old, false, s.file.write(s.urlLine())
		}
		ended = err == nil && !alive(info)
		if err != nil && !unseen(err) {
			return "", false, err
		}
	}
	token, info, err := s.admin.IssueToken(ctx, s.settings.Scope, &admin.TokenOptions{Label: "runner " + runnerName(), Waive: s.settings.Without})
	if err != nil {
		return "", false, err
	}
	place := ""
	if err = s.file.write(s.urlLine()); err == nil {
		place, err = s.file.setToken(token)
	}
	if err != nil {
		return "", false, errors.Join(err, s.admin.RevokeToken(context.WithoutCancel(ctx), info.ID))
	}
	fmt.Fprintf(s.out, "  created token %s and wrote it to %s\n", info.ID, place)
	if wellFormed && !ended {
		fmt.Fprintf(s.out, "  the previous token, %s, was not revoked\n", old)
	}
	return info.ID, true, nil
}

func (s *setup) urlLine() dotenv.Entry {
	return dotenv.Entry{Name: urlName, Value: bundle.NewValue(s.url)}
}

// serves reports whether a token is as setup would create it.
func (s *setup) serves(info api.Token) bool {
	return info.Scope == s.settings.Scope && slices.Equal(info.Waived, s.settings.Without) && alive(info)
}

// alive reports whether a token is neither expired nor revoked.
func alive(info api.Token) bool {
	now := time.Now()
	return (info.Expires.IsZero() || info.Expires.After(now)) && (info.Revoked.IsZero() || info.Revoked.After(now))
}

// sayMissing lists the missing secrets, and where to add them.
func (s *setup) sayMissing() {
	fmt.Fprintf(s.out, "%s: the runner does not connect while a required secret is missing.\n", s.status(s.out, "not ready"))
	for _, need := range s.missing() {
		fmt.Fprintf(s.out, "  %s is %s: %s\n", text.Printable(need.Name), s.status(s.out, string(need.Status)), text.Printable(need.Detail))
	}
	fmt.Fprintf(s.out, "The token was created. Add the missing secrets, then run `satchel check`.\n")
}
