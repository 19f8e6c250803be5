package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// set sets a flag. For an invalid value, the flag keeps its value, and the error
// describes valid ones. No error quotes the value, which may be a misplaced secret.
func set(v flag.Value, s string) error {
	before := v.String()
	err := v.Set(s)
	getter, ok := v.(flag.Getter)
	if err == nil || !ok {
		return err
	}
	_ = v.Set(before) // flags of package flag may have become zero
	switch getter.Get().(type) {
	case bool:
		return errors.New("want true or false")
	case time.Duration:
		return errors.New("want a time such as 90s, 15m or 2160h")
	case *slog.Level:
		return errors.New("want debug, info, warn or error")
	default:
		return errors.New("want a whole number such as 20")
	}
}

// list is a flag that may be repeated. In the environment, semicolons separate its
// values.
type list[T any] struct {
	to    *[]T
	parse func(string) (T, error)
}

func (l list[T]) String() string { return "" }
func (l list[T]) repeated()      {}

func (l list[T]) Set(s string) error {
	v, err := l.parse(s)
	if err == nil {
		*l.to = append(*l.to, v)
	}
	return err
}

// pairs is a flag of KEY=VALUE that may be repeated.
type pairs struct{ to *map[string]string }

func (p pairs) String() string { return "" }
func (p pairs) repeated()      {}

func (p pairs) Set(s string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" || value == "" {
		return errors.New("want PERMISSION=LEVEL, such as contents=write")
	}
	if *p.to == nil {
		*p.to = map[string]string{}
	}
	(*p.to)[key] = value
	return nil
}

// limit is a flag of RATE[:BURST].
type limit struct{ to *vaulthttp.Limit }

func (l limit) String() string { return "" }

func (l limit) Set(s string) error {
	if s == "off" {
		*l.to = vaulthttp.Limit{PerSecond: -1}
		return nil
	}
	rate, burst, hasBurst := strings.Cut(s, ":")
	perSecond, err := strconv.ParseFloat(rate, 64)
	if err != nil || !(perSecond > 0) || math.IsInf(perSecond, 0) {
		return errors.New("want RATE[:BURST], such as 10:1000, or off")
	}
	*l.to = vaulthttp.Limit{PerSecond: perSecond}
	if hasBurst {
		if l.to.Burst, err = strconv.Atoi(burst); err != nil || l.to.Burst < 1 {
			return errors.New("want RATE[:BURST], such as 10:1000, or off")
		}
	}
	return nil
}

func parseRepository(s string) (string, error) {
	if s == "" || strings.Contains(s, "/") {
		return "", errors.New("want the name of a repository without its owner, such as web")
	}
	return s, nil
}

// parseNotice accepts notices that the vault accepts, and the empty notice.
func parseNotice(s string) (string, error) {
	if s != "" && (&vault.Options{Notices: []string{s}}).Check() != nil {
		return "", errors.New("want one line of at most 1024 bytes")
	}
	return s, nil
}

func notEmpty(s string) (string, error) {
	if s == "" {
		return "", errors.New("missing value")
	}
	return s, nil
}

// parseAdminScope accepts the scopes of administrators.
func parseAdminScope(s string) (string, error) {
	if s != vault.AllScopes && vault.CheckScope(s) != nil {
		return "", errors.New("want a scope such as acme/web, or '*' for all")
	}
	return s, nil
}

func parseRole(s string) (api.Role, error) {
	role := api.Role(s)
	if role != api.RoleAdministrator && role != api.RoleReadOnly {
		return "", fmt.Errorf("want %s or %s", api.RoleAdministrator, api.RoleReadOnly)
	}
	return role, nil
}

// parseExpiry accepts a duration from now, or a time.
func parseExpiry(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	if life, invalid := time.ParseDuration(s); invalid == nil {
		at, err = time.Now().Add(life), nil
	}
	if err != nil || !at.After(time.Now()) {
		return time.Time{}, errors.New("want a time in the future, such as 2160h for 90 days, or 2027-01-31T00:00:00Z")
	}
	return at, nil
}

func parseProxy(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("want a CIDR such as 10.0.0.0/8, or 192.0.2.7/32 for a single address")
	}
	return prefix, nil
}

func parseKeyRef(s string) (keyRef, error) {
	service, key, _ := strings.Cut(s, ":")
	if services[service] == nil || key == "" {
		return keyRef{}, fmt.Errorf("want SERVICE:NAME, such as local:/etc/satchel/kek; services are %s", serviceNames())
	}
	return keyRef{service, key}, nil
}

func parseRequired(s string) (vault.Required, error) {
	scope, secret, ok := strings.Cut(s, "=")
	name, kind, _ := strings.Cut(secret, ":")
	if !ok || vault.CheckScope(scope) != nil || bundle.CheckName(name) != nil {
		return vault.Required{}, errors.New("want SCOPE=NAME[:KIND], such as acme/web=ANTHROPIC_API_KEY:anthropic")
	}
	if !regexp.MustCompile(`^[!-~]{0,64}$`).MatchString(kind) {
		return vault.Required{}, errors.New("want a KIND of one word of at most 64 characters, such as anthropic in acme/web=ANTHROPIC_API_KEY:anthropic")
	}
	return vault.Required{Scope: scope, Name: name, Kind: kind}, nil
}
