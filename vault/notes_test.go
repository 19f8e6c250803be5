package vault_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/memstore"
)

func TestNotes(t *testing.T) {
	world := newWorld(t)
	for about, edits := range map[string][]string{
		"a time after the year 9999":   {"last_used = 9223372036854775807"},
		"a time before the year 0":     {"last_used = -9223372036854775808"},
		"a name with a zero byte":      {"last_token = CAST(x'610062' AS TEXT)", "last_runner = CAST(x'610062' AS TEXT), author = CAST(x'610062' AS TEXT)"},
		"an address that is not UTF-8": {"last_token = CAST(x'ff' AS TEXT)", "last_addr = CAST(x'ff' AS TEXT)"},
		"the form of a token":          {"last_token = 'rnt_" + longPart + "'", "last_runner = 'rnt_" + longPart + "', author = 'sat_" + longPart + "'"},
	} {
		t.Run(about+" spoils neither lists nor exports", func(t *testing.T) {
			w := world.copy(t)
			w.sql(t, "UPDATE heads SET "+edits[0])
			w.sql(t, "UPDATE tokens SET "+edits[len(edits)-1])
			f := w.fresh(t)
			secrets, err := f.List(t.Context(), "acme/web")
			require.NoError(t, err)
			history, err := f.History(t.Context(), "acme", "A")
			require.NoError(t, err)
			tokens, err := f.Tokens(t.Context(), "acme/web")
			require.NoError(t, err)
			shown, err := json.Marshal([]any{secrets, history, tokens})
			require.NoError(t, err)
			require.NotContains(t, string(shown), longPart)

			var out bytes.Buffer
			_, err = f.Export(t.Context(), &out, nil)
			require.NoError(t, err)
			g := newFixtureOver(t, memstore.New(), w.KEK)
			_, err = g.Import(t.Context(), bytes.NewReader(out.Bytes()))
			require.NoError(t, err)
			require.Equal(t, w.genuine, g.Values(t, w.token))
		})
	}
}

// longPart is more of a token than its id.
const longPart = "abcdefghijklmnopqrstuvwxyzabcdefghij"
