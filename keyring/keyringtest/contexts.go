package keyringtest

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/satchelhq/satchel/keyring"
)

func checkOtherContext(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	dek, w, err := wrapNew(ctx, kek)
	if err != nil {
		return err
	}
	for change, c := range map[string]keyring.Context{
		"with a changed value":       {"purpose": "data-key", "tenant": "other"},
		"with a changed last letter": {"purpose": "data-key", "tenant": "acmf"},
		"with a renamed key":         {"purpose": "data-key", "owner": "acme"},
		"with a key in another case": {"purpose": "data-key", "Tenant": "acme"},
		"with a missing pair":        {"purpose": "data-key"},
		"with an added pair":         {"purpose": "data-key", "tenant": "acme", "scope": ""},
		"with swapped values":        {"purpose": "acme", "tenant": "data-key"},
		"that is empty":              {},
		"that is nil":                nil,
	} {
		got, err := kek.Unwrap(ctx, w, c)
		if err := checkRefused(got, err, keyring.ErrTampered); err != nil {
			return fmt.Errorf("under a context %s: %w", change, err)
		}
	}
	return unwraps(ctx, kek, w, tenant(), dek)
}

func checkJoinedContexts(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	for _, separator := range []string{"", " ", ",", ";", "&", "|", "/", ":", "=", "\n", "\x00"} {
		for _, equals := range []string{"", "=", ":", "\x00"} {
			two := keyring.Context{"a": "1", "b": "2"}
			one := keyring.Context{"a": "1" + separator + "b" + equals + "2"}
			if err := differ(ctx, kek, two, one); err != nil {
				return err
			}
		}
	}
	return differ(ctx, kek, keyring.Context{"ab": "c"}, keyring.Context{"a": "bc"})
}

// checkAlikeContexts uses texts that a reader, a database or an HTTP header may take for
// the same.
func checkAlikeContexts(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	const text = "Acme Caf\u00e9"
	for change, other := range map[string]string{
		"in lower case":              "acme caf\u00e9",
		"in upper case":              "ACME CAF\u00c9",
		"with one capital fewer":     "acme Caf\u00e9",
		"with a space before it":     " " + text,
		"with a space after it":      text + " ",
		"with a tab before it":       "\t" + text,
		"with a newline after it":    text + "\n",
		"with a zero byte after it":  text + "\x00",
		"with two spaces for one":    "Acme  Caf\u00e9",
		"without its space":          "AcmeCaf\u00e9",
		"with a no-break space":      "Acme\u00a0Caf\u00e9",
		"with its space escaped":     "Acme%20Caf\u00e9",
		"with a plus for its space":  "Acme+Caf\u00e9",
		"in quotes":                  `"` + text + `"`,
		"with a combining accent":    "Acme Cafe\u0301",
		"without its accent":         "Acme Cafe",
		"without the non-ASCII part": "Acme Caf",
	} {
		c := keyring.Context{"purpose": "data-key", "tenant": text}
		if err := differ(ctx, kek, c, keyring.Context{"purpose": "data-key", "tenant": other}); err != nil {
			return fmt.Errorf("with the same value %s: %w", change, err)
		}
	}
	for _, name := range []string{" tenant", "tenant ", "TENANT", "tenant\x00"} {
		if err := differ(ctx, kek, tenant(), keyring.Context{"purpose": "data-key", name: "acme"}); err != nil {
			return err
		}
	}
	return nil
}

// checkLongContexts changes single bytes of values of the maximum length.
func checkLongContexts(ctx context.Context, newKEK func(string) keyring.KEK) error {
	kek := newKEK("suite")
	const longest, step = 1024, 31 // the last step is the last byte
	long := strings.Repeat("v", longest)
	w, err := kek.Wrap(ctx, newDEK(), keyring.Context{"purpose": "data-key", "tenant": long})
	if err != nil {
		return fmt.Errorf("Wrap under a value of %d bytes failed: %w", longest, err)
	}
	for n := 0; n < longest; n += step {
		other := long[:n] + "w" + long[n+1:]
		got, err := kek.Unwrap(ctx, w, keyring.Context{"purpose": "data-key", "tenant": other})
		if err := checkRefused(got, err, keyring.ErrTampered); err != nil {
			return fmt.Errorf("under a context with byte %d changed in a value of %d: %w", n+1, longest, err)
		}
	}
	got, err := kek.Unwrap(ctx, w, keyring.Context{"purpose": "data-key", "tenant": long[1:]})
	if err := checkRefused(got, err, keyring.ErrTampered); err != nil {
		return fmt.Errorf("under a context without the first byte of a value of %d: %w", longest, err)
	}
	return checkFullContexts(ctx, kek)
}

// checkFullContexts changes the last byte of each value and of each key of a context
// with the maximum number of pairs.
func checkFullContexts(ctx context.Context, kek keyring.KEK) error {
	full := fullContext()
	w, err := kek.Wrap(ctx, newDEK(), full)
	if err != nil {
		return fmt.Errorf("Wrap under a context of %d pairs failed: %w", len(full), err)
	}
	for key, value := range full {
		changed, renamed := maps.Clone(full), maps.Clone(full)
		changed[key] = value[:len(value)-1] + "w"
		delete(renamed, key)
		renamed[key[:len(key)-1]+"x"] = value
		for _, c := range []keyring.Context{changed, renamed} {
			got, err := kek.Unwrap(ctx, w, c)
			if err := checkRefused(got, err, keyring.ErrTampered); err != nil {
				return fmt.Errorf("under a context of %d pairs with %q changed: %w", len(full), key, err)
			}
		}
	}
	return nil
}

// fullContext returns a context with the maximum number of pairs.
func fullContext() keyring.Context {
	c := keyring.Context{}
	for i := range 32 {
		c[fmt.Sprintf("key-%02d", i)] = strings.Repeat("v", 100)
	}
	return c
}

// differ returns an error if a key wrapped under c unwraps under other.
func differ(ctx context.Context, kek keyring.KEK, c, other keyring.Context) error {
	w, err := kek.Wrap(ctx, newDEK(), c)
	if err != nil {
		return fmt.Errorf("Wrap failed unexpectedly: %w", err)
	}
	got, err := kek.Unwrap(ctx, w, other)
	if err := checkRefused(got, err, keyring.ErrTampered); err != nil {
		return fmt.Errorf("wrapped under %q, unwrapped under %q: %w", c, other, err)
	}
	return nil
}
