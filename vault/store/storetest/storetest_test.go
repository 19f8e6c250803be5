package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/suite"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// verdict runs a rule and returns the faults that it finds.
func verdict(t *testing.T, rule contractRule, s store.Store) []string {
	return suite.Verdict(t.Context(), func(c suite.T) { rule.check(&checker{T: c, s: s}) })
}

func TestAllRules(t *testing.T) {
	t.Run("accepts a correct store", func(t *testing.T) {
		for _, rule := range allRules() {
			require.Empty(t, verdict(t, rule, memstore.New()), "rule %q", rule.name)
		}
	})
}

// TestAllRules_Broken checks that each rule rejects a store that breaks it.
func TestAllRules_Broken(t *testing.T) {
	var untried []string
	rules := map[string]contractRule{}
	for _, rule := range allRules() {
		require.NotContains(t, rules, rule.name, "the names of rules are unique")
		rules[rule.name] = rule
		untried = append(untried, rule.name)
	}
	for name, broken := range brokenStores {
		require.Contains(t, rules, name, "each broken store is for an existing rule")
		untried = slices.DeleteFunc(untried, func(s string) bool { return s == name })
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, verdict(t, rules[name], broken()), "a store that breaks this rule passed it")
		})
	}
	require.Empty(t, untried, "there is no broken store for these rules")
}

func TestRun(t *testing.T) {
	t.Run("opens a store for every rule", func(t *testing.T) {
		opened := 0
		Run(t, func(*testing.T) store.Store {
			opened++
			return memstore.New()
		})
		require.Equal(t, len(allRules()), opened)
	})
}
