package sqlstore

import (
	"context"
	"slices"
	"strings"
)

// scopeColumns are the tables that have rows of scopes, and the column with the scope.
var scopeColumns = []struct{ table, column string }{
	{"seals", "scope"}, {"secrets", "scope"}, {"heads", "scope"}, {"tokens", "scope"}, {"minted", "scope"}, {"docs", "owner"},
}

// Tenants implements [store.Store].
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	query := s.selectTenants()
	args := append(slices.Repeat([]any{after}, strings.Count(query, "?")-1), int64(max(limit, 0)))
	return s.texts(ctx, "reading tenants", query, args...)
}

// Scopes implements [store.Store].
func (s *Store) Scopes(ctx context.Context, tenant string) ([]string, error) {
	query := s.selectScopes()
	scopes, err := s.texts(ctx, "reading scopes", query, slices.Repeat([]any{tenant}, strings.Count(query, "?"))...)
	slices.Sort(scopes)
	return slices.Compact(scopes), err
}

// selectTenants returns the query for the tenants of all tables. It goes from one tenant
// to the next in the indexes, so it does not read all rows.
func (s *Store) selectTenants() string {
	// next selects the first tenant after the given one.
	next := func(after string) string {
		tables := []string{
			"SELECT min(tenant) AS tenant FROM [data_keys] WHERE tenant > " + after,
			"SELECT min(tenant) FROM [audit] WHERE tenant > " + after,
		}
		for _, c := range scopeColumns {
			tenant := s.dialect.tenant(c.column)
			tables = append(tables, "SELECT min("+tenant+") FROM ["+c.table+"] WHERE "+tenant+" > "+after)
		}
		return "(SELECT min(tenant) FROM (" + strings.Join(tables, " UNION ALL ") + ") AS next)"
	}
	return "WITH RECURSIVE t (tenant) AS (SELECT " + next("?") + " UNION ALL SELECT " + next("t.tenant") + " FROM t WHERE t.tenant IS NOT NULL)" +
		" SELECT tenant FROM t WHERE tenant IS NOT NULL LIMIT ?"
}

// selectScopes returns the query for the scopes of a tenant. It returns a scope once
// for each table.
func (s *Store) selectScopes() string {
	var tables []string
	for _, c := range scopeColumns {
		tables = append(tables, "SELECT DISTINCT "+c.column+" FROM ["+c.table+"] WHERE "+s.dialect.tenant(c.column)+" = ?")
	}
	return strings.Join(tables, " UNION ALL ")
}

// texts returns the rows of a query for one column of text.
func (s *Store) texts(ctx context.Context, what, query string, args ...any) ([]string, error) {
	var texts []string
	err := s.inTx(ctx, s.dialect.beginRead, func(x *tx) error {
		texts = nil
		return x.query(ctx, what, query, args, func(scan func(...any) error) error {
			var text string
			err := scan(&text)
			texts = append(texts, text)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return texts, nil
}
