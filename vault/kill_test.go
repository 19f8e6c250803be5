package vault_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// The environment variable killFile makes the test binary write to the vault in that
// file until it is killed. killRound makes the values of each process different.
const (
	killFile  = "VAULT_TEST_KILL_FILE"
	killRound = "VAULT_TEST_KILL_ROUND"
	killScope = "acme/web"
	kills     = 50
)

func TestMain(m *testing.M) {
	if file := os.Getenv(killFile); file != "" {
		writeUntilKilled(file, os.Getenv(killRound))
	}
	os.Exit(m.Run())
}

// killVault opens the vault in file, always under the same key.
func killVault(ctx context.Context, file string) (*vault.Vault, *sql.DB, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, nil, err
	}
	kek, err := local.New("kill", []byte("the same 32 bytes in each process"[:32]))
	if err != nil {
		return nil, nil, err
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		return nil, nil, err
	}
	storage, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
	if err != nil {
		return nil, nil, err
	}
	v, err := vault.New(ctx, storage, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler)})
	return v, db, err
}

// writeUntilKilled writes to the vault in file. It prints each write before it begins,
// and again once it is acknowledged.
func writeUntilKilled(file, round string) {
	ctx := context.Background()
	v, _, err := killVault(ctx, file)
	check := func(err error) {
		if err != nil {
			fmt.Println("failed", strings.ReplaceAll(err.Error(), "\n", " "))
			os.Exit(1)
		}
	}
	check(err)
	var live []string
	for n := 0; ; n++ {
		name := fmt.Sprintf("S%d", rand.IntN(5))
		switch choice := rand.IntN(8); {
		case choice < 3:
			value := fmt.Sprintf("round-%s-write-%d", round, n)
			fmt.Println("begin put", name, value)
			_, err := v.Put(ctx, killScope, name, bundle.NewValue(value), nil)
			check(err)
			fmt.Println("done put", name, value)
		case choice == 3:
			fmt.Println("begin hide", name, "-")
			_, err := v.Hide(ctx, killScope, name)
			check(err)
			fmt.Println("done hide", name, "-")
		case choice == 4:
			if _, err := v.Info(ctx, killScope, name); err != nil {
				continue
			}
			fmt.Println("begin delete", name, "-")
			check(v.Delete(ctx, killScope, name))
			fmt.Println("done delete", name, "-")
		case choice < 7:
			fmt.Println("begin issue", "-", "-")
			token, info, err := v.IssueToken(ctx, killScope, nil)
			check(err)
			live = append(live, info.ID)
			fmt.Println("done issue", info.ID, token.Reveal())
		case len(live) > 0:
			id := live[0]
			live = live[1:]
			fmt.Println("begin revoke", id, "-")
			check(v.RevokeToken(ctx, id))
			fmt.Println("done revoke", id, "-")
		}
	}
}

// killed is the expected state of the vault.
type killed struct {
	values  map[string]string
	tokens  map[string]bool // true if revoked, by id
	live    bundle.Value    // an issued token
	dead    bundle.Value    // a revoked token
	texts   map[string]bundle.Value
	pending []string // the write under way, or nil
}

// apply applies a printed write to k.
func (k *killed) apply(op, subject, object string) {
	switch op {
	case "put":
		k.values[subject] = object
	case "hide", "delete":
		delete(k.values, subject)
	case "issue":
		k.tokens[subject] = false
		k.texts[subject] = bundle.NewValue(object)
		k.live = k.texts[subject]
	case "revoke":
		k.tokens[subject] = true
		k.dead = k.texts[subject]
		if k.live.Equal(k.dead) {
			k.live = bundle.Value{}
		}
	}
}

// A platform that is killed repeatedly, at any moment, keeps every acknowledged write,
// and its seals match its rows.
func TestKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.db")
	witness, db, err := killVault(t.Context(), file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	token, info, err := witness.IssueToken(t.Context(), killScope, nil)
	require.NoError(t, err)

	k := &killed{values: map[string]string{}, tokens: map[string]bool{info.ID: false}, texts: map[string]bundle.Value{}}
	acknowledged := 0
	for round := range kills {
		acknowledged += k.killOne(t, file, round)
		k.check(t, file, witness, token)
	}
	require.Greater(t, acknowledged, kills, "the writers make progress")
}

// killOne starts a writer, kills it shortly after a random write, and returns the number
// of acknowledged writes.
func (k *killed) killOne(t *testing.T, file string, round int) int {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), killFile+"="+file, fmt.Sprintf("%s=%d", killRound, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()

	k.pending = nil
	acknowledged, writes := 0, 1+rand.IntN(12)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		require.Len(t, word, 4, "the writer failed: %s", lines.Text())
		if word[0] == "begin" {
			k.pending = word[1:]
			continue
		}
		k.pending = nil
		k.apply(word[1], word[2], word[3])
		if acknowledged++; acknowledged == writes {
			// The writer continues meanwhile, so the kill can hit any moment of a write.
			time.AfterFunc(rand.N(3*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
	}
	require.NoError(t, lines.Err())
	require.GreaterOrEqual(t, acknowledged, writes)
	return acknowledged
}

// check compares the vault with k, and adopts the outcome of the write under way.
func (k *killed) check(t *testing.T, file string, witness *vault.Vault, token bundle.Value) {
	t.Helper()
	v, db, err := killVault(t.Context(), file)
	require.NoError(t, err, "the vault opens after a kill")
	defer db.Close()

	var found map[string]string
	for _, process := range []*vault.Vault{v, witness} {
		b, err := process.Bootstrap(t.Context(), token, nil)
		require.NoError(t, err, "the seals match the rows")
		found = reveal(b)
		if maps.Equal(found, k.values) || k.pending == nil {
			require.Equal(t, k.values, found, "every acknowledged write is stored")
			continue
		}
		after := maps.Clone(k.values)
		(&killed{values: after, tokens: map[string]bool{}, texts: map[string]bundle.Value{}}).apply(k.pending[0], k.pending[1], k.pending[2])
		require.Equal(t, after, found, "every acknowledged write is stored, and the one under way completely or not at all")
	}
	k.values = found

	infos, err := v.Tokens(t.Context(), killScope)
	require.NoError(t, err)
	revoked := map[string]bool{}
	for _, info := range infos {
		revoked[info.ID] = !info.Revoked.IsZero()
	}
	for id, dead := range k.tokens {
		now, ok := revoked[id]
		require.True(t, ok, "every acknowledged token is stored")
		if underWay := k.pending != nil && k.pending[0] == "revoke" && k.pending[1] == id; !underWay {
			require.Equal(t, dead, now, "exactly the acknowledged revocations are stored")
		}
	}
	most := len(k.tokens)
	if k.pending != nil && k.pending[0] == "issue" {
		most++
	}
	require.LessOrEqual(t, len(revoked), most)
	k.tokens = revoked

	if k.live.Reveal() != "" && !revoked[tokenID(t, k.live)] {
		_, err = v.Bootstrap(t.Context(), k.live, nil)
		require.NoError(t, err, "an issued token works")
	}
	if k.dead.Reveal() != "" {
		_, err = v.Bootstrap(t.Context(), k.dead, nil)
		requireReason(t, err, vault.TokenRevoked, "a revoked token does not work")
	}
	for name := range found {
		_, err := v.History(t.Context(), killScope, name)
		require.NoError(t, err)
	}
}
