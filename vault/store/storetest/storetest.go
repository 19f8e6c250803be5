package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/suite"
	"github.com/satchelhq/satchel/vault/store"
)

// Run checks a store against the contract of [store.Store]. It runs one subtest for
// each rule, named after the rule, on a new store: each call of open returns an empty
// store, and uses t.Cleanup to close it.
//
// If the store is a [Reopener], Run checks durability too.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, rule := range allRules() {
		t.Run(rule.name, func(t *testing.T) {
			rule.check(&checker{T: t, s: open(t)})
		})
	}
}

// A Reopener is a Store whose rows outlive the process. To have [Run] check that, wrap
// the store for the test and add the method.
type Reopener interface {
	store.Store
	// Reopen closes the store and opens it again, as another process would that
	// knows only its location. It returns the new store, or an error that fails the
	// test.
	Reopen(ctx context.Context) (store.Store, error)
}

// contractRule is one rule of the contract. check runs on an empty store.
type contractRule struct {
	name  string
	check func(*checker)
}

func allRules() []contractRule {
	return slices.Concat(rowRules, queryRules, versionRules, resealRules,
		mintRules, docRules, auditRules, expectationRules, useRules, concurrencyRules)
}

// checker is one run of a rule.
type checker struct {
	suite.T
	s store.Store
}

// read returns the snapshot for q.
func (c *checker) read(q store.Query) *store.Snapshot {
	c.Helper()
	snap, err := c.s.Read(c.Context(), q)
	require.NoError(c, err, "reading %+v", q)
	require.NotNil(c, snap, "Read returned neither a snapshot nor an error")
	return snap
}

// last returns the state of the scope itself in the snapshot for q.
func (c *checker) last(q store.Query) store.ScopeState {
	c.Helper()
	snap := c.read(q)
	require.NotEmpty(c, snap.Path, "the snapshot for %+v has no path", q)
	return snap.Path[len(snap.Path)-1]
}

// apply applies a change that must succeed.
func (c *checker) apply(change store.Change) {
	c.Helper()
	require.NoError(c, c.s.Apply(c.Context(), &change), "applying a change whose expectations hold")
}

// refuse applies a change that must be a conflict.
func (c *checker) refuse(change store.Change, why string) {
	c.Helper()
	require.ErrorIs(c, c.s.Apply(c.Context(), &change), store.ErrConflict, why)
}

// touch records uses.
func (c *checker) touch(uses ...store.Usage) {
	c.Helper()
	require.NoError(c, c.s.Touch(c.Context(), uses), "recording uses")
}

// audit returns the entries of a tenant's audit chain.
func (c *checker) audit(tenant string, after int64, limit int) []store.AuditRow {
	c.Helper()
	rows, err := c.s.Audit(c.Context(), tenant, after, limit)
	require.NoError(c, err, "reading the audit chain of %s after %d", tenant, after)
	return rows
}

// changes returns the results of Changes, with the scopes sorted.
func (c *checker) changes(since int64) (int64, []string) {
	c.Helper()
	newest, scopes, err := c.s.Changes(c.Context(), since)
	require.NoError(c, err, "reading the changes since %d", since)
	slices.Sort(scopes)
	return newest, scopes
}
