package sqlstore

import (
	"context"

	"github.com/satchelhq/satchel/vault/store"
)

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, uses []store.Usage) error {
	if len(uses) == 0 {
		return ctx.Err()
	}
	tokens, secrets := latest(uses)
	return s.inTx(ctx, s.dialect.beginWrite, func(x *tx) error {
		if err := x.lockWriters(ctx); err != nil { // otherwise transactions that lock many rows could deadlock
			return err
		}
		if err := x.touchTokens(ctx, tokens); err != nil {
			return err
		}
		return x.touchSecrets(ctx, secrets)
	})
}

// latest returns the latest use of each token and of each secret.
func latest(uses []store.Usage) (tokens, secrets []store.Usage) {
	type key struct{ token, scope, name string }
	at := map[key]int{}
	for _, use := range uses {
		list, k := &tokens, key{token: use.Token}
		if use.Name != "" {
			list, k = &secrets, key{scope: use.Scope, name: use.Name}
		}
		i, known := at[k]
		switch {
		case !known:
			at[k] = len(*list)
			*list = append(*list, use)
		case micros(use.Time) >= micros((*list)[i].Time):
			(*list)[i] = use
		}
	}
	return tokens, secrets
}

func (x *tx) touchTokens(ctx context.Context, uses []store.Usage) error {
	for batch := range batches(uses) {
		args := make([]any, 0, 4*len(batch))
		for _, use := range batch {
			args = append(args, use.Token, micros(use.Time), use.Addr, use.Runner)
		}
		query := "WITH uses (id, at, addr, runner) AS (" + values(len(batch), "(?, CAST(? AS BIGINT), ?, ?)") + `)
			UPDATE [tokens] AS t SET last_used = uses.at, last_addr = uses.addr, last_runner = uses.runner
			FROM uses WHERE t.id = uses.id AND t.last_used <= uses.at`
		if _, err := x.exec(ctx, "recording uses in tokens", query, args...); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) touchSecrets(ctx context.Context, uses []store.Usage) error {
	for batch := range batches(uses) {
		args := make([]any, 0, 4*len(batch))
		for _, use := range batch {
			args = append(args, use.Scope, use.Name, micros(use.Time), use.Token)
		}
		query := "WITH uses (scope, name, at, token) AS (" + values(len(batch), "(?, ?, CAST(? AS BIGINT), ?)") + `)
			UPDATE [heads] AS h SET last_used = uses.at, last_token = uses.token
			FROM uses WHERE h.scope = uses.scope AND h.name = uses.name AND h.active IS NOT NULL AND h.last_used <= uses.at`
		if _, err := x.exec(ctx, "recording uses in heads", query, args...); err != nil {
			return err
		}
	}
	return nil
}
