package keyring_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/keyring"
)

// testdata/reader.mjs implements the format from docs/format.md only, in another language
// and with another cryptographic library.

// A nodeJob is one job for the reader.
type nodeJob struct {
	Do      string            `json:"do"` // the name of a function in the reader
	Name    string            `json:"name,omitempty"`
	Group   keyring.Context   `json:"group"`
	Context keyring.Context   `json:"context"`
	Bytes   map[string]string `json:"bytes"` // in hex
}

type nodeResult struct {
	Bytes hexBytes
	Error string
}

// runNode runs jobs in the reader and returns their results.
func runNode(t *testing.T, jobs []nodeJob) []nodeResult {
	t.Helper()
	node := testenv.Program(t, "node")
	input, err := json.Marshal(jobs)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, "testdata/reader.mjs")
	cmd.Stdin = bytes.NewReader(input)
	var problems strings.Builder
	cmd.Stderr = &problems
	output, err := cmd.Output()
	require.NoError(t, err, "the reader failed: %s", &problems)
	var results []nodeResult
	require.NoError(t, json.Unmarshal(output, &results))
	require.Len(t, results, len(jobs))
	return results
}

// hexes returns the bytes of a job from pairs of a name and bytes.
func hexes(pairs ...any) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = hex.EncodeToString(pairs[i+1].([]byte))
	}
	return m
}

var (
	nodeKey   = bytes.Repeat([]byte{7}, 32) // of newGroup
	nodeKeyID = []byte{1, 2, 3, 15: 0}
	// In UTF-16 order, the last two keys swap.
	nodeContexts = []keyring.Context{
		{}, apiKey7, {"name": "", "é": "ü"}, {"b": "1", "a": "2", "\uffff": "3", "\U00010000": "4"},
		{"name": strings.Repeat("n", 1024)}, pairs(32),
	}
	nodePlaintexts = []string{"", "x", "a secret", strings.Repeat("0123456789abcdef", 4096)}
)

func TestNode_Messages(t *testing.T) {
	t.Run("opens messages that Go seals", func(t *testing.T) {
		var jobs []nodeJob
		var want []string
		for _, c := range nodeContexts {
			for _, plaintext := range nodePlaintexts {
				message := seal(t, newGroup(t, c), plaintext, c)
				jobs = append(jobs, nodeJob{Do: "openMessage", Group: c, Context: c,
					Bytes: hexes("key", nodeKey, "id", nodeKeyID, "message", message)})
				want = append(want, plaintext)
			}
		}
		for i, got := range runNode(t, jobs) {
			require.Empty(t, got.Error, "context %q", jobs[i].Context)
			require.Equal(t, want[i], string(got.Bytes))
		}
	})

	t.Run("seals messages that Go opens", func(t *testing.T) {
		var jobs []nodeJob
		var want []string
		for _, c := range nodeContexts {
			for _, plaintext := range nodePlaintexts {
				jobs = append(jobs, nodeJob{Do: "sealMessage", Group: c, Context: c,
					Bytes: hexes("key", nodeKey, "id", nodeKeyID, "plaintext", []byte(plaintext))})
				want = append(want, plaintext)
			}
		}
		for i, sealed := range runNode(t, jobs) {
			require.Empty(t, sealed.Error)
			got, err := newGroup(t, jobs[i].Group).Open(nil, sealed.Bytes, jobs[i].Context)
			require.NoError(t, err, "context %q", jobs[i].Context)
			require.Equal(t, want[i], string(got))
		}
	})
}

func TestNode_Envelopes(t *testing.T) {
	t.Run("opens envelopes that Go seals", func(t *testing.T) {
		one := newKeyring(t, newLocal(t, "kek", 1), nil)
		// The reader's key is the second of two.
		two := newKeyring(t, newLocal(t, "primary", 2), &keyring.Options{Replicas: []keyring.KEK{newLocal(t, "kek", 1)}})
		var jobs []nodeJob
		for _, keys := range []*keyring.Keyring{one, two} {
			for _, c := range nodeContexts {
				envelope, err := keys.SealEnvelope(t.Context(), []byte("a secret"), c)
				require.NoError(t, err)
				jobs = append(jobs, nodeJob{Do: "openEnvelope", Name: "kek", Group: c, Context: keyring.Context{},
					Bytes: hexes("kek", bytes.Repeat([]byte{1}, 32), "envelope", envelope)})
			}
		}
		for i, got := range runNode(t, jobs) {
			require.Empty(t, got.Error, "context %q", jobs[i].Group)
			require.Equal(t, "a secret", string(got.Bytes))
		}
	})

	t.Run("seals envelopes that Go opens", func(t *testing.T) {
		var jobs []nodeJob
		for _, c := range nodeContexts {
			jobs = append(jobs, nodeJob{Do: "sealEnvelope", Name: "kek", Group: c, Context: keyring.Context{},
				Bytes: hexes("kek", bytes.Repeat([]byte{1}, 32), "plaintext", []byte("a secret"))})
		}
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		for i, sealed := range runNode(t, jobs) {
			require.Empty(t, sealed.Error)
			got, err := keys.OpenEnvelope(t.Context(), sealed.Bytes, jobs[i].Group)
			require.NoError(t, err, "context %q", jobs[i].Group)
			require.Equal(t, "a secret", string(got))
		}
	})
}

// The format page is sufficient to reject every change.
func TestNode_Rejects(t *testing.T) {
	message := seal(t, newGroup(t, web), "a secret", apiKey7)
	envelope, err := newKeyring(t, newLocal(t, "kek", 1), nil).SealEnvelope(t.Context(), []byte("a secret"), acme)
	require.NoError(t, err)
	openMessage := func(group, c keyring.Context, message []byte) nodeJob {
		return nodeJob{Do: "openMessage", Group: group, Context: c, Bytes: hexes("key", nodeKey, "id", nodeKeyID, "message", message)}
	}
	openEnvelope := func(c keyring.Context, envelope []byte) nodeJob {
		return nodeJob{Do: "openEnvelope", Name: "kek", Group: c, Context: keyring.Context{},
			Bytes: hexes("kek", bytes.Repeat([]byte{1}, 32), "envelope", envelope)}
	}
	names := []string{"the unchanged message", "the unchanged envelope"}
	jobs := []nodeJob{openMessage(web, apiKey7, message), openEnvelope(acme, envelope)}
	add := func(name string, job nodeJob) { names, jobs = append(names, name), append(jobs, job) }
	changes(message, func(changed []byte, _ int, what string) { add("message: "+what, openMessage(web, apiKey7, changed)) })
	changes(envelope, func(changed []byte, _ int, what string) { add("envelope: "+what, openEnvelope(acme, changed)) })
	for what, c := range otherContexts(apiKey7) {
		add("message context: "+what, openMessage(web, notNil(c), message))
	}
	for what, c := range otherContexts(web) {
		add("group context: "+what, openMessage(notNil(c), apiKey7, message))
	}
	for what, c := range otherContexts(acme) {
		add("envelope context: "+what, openEnvelope(notNil(c), envelope))
	}
	results := runNode(t, jobs)
	for _, result := range results[:2] {
		require.Equal(t, nodeResult{Bytes: hexBytes("a secret")}, result)
	}
	for i, result := range results[2:] {
		require.NotEmpty(t, result.Error, names[i+2])
		require.Empty(t, result.Bytes, names[i+2])
	}
}

// notNil returns a copy that is an object in JSON, even for nil.
func notNil(c keyring.Context) keyring.Context {
	full := keyring.Context{}
	maps.Copy(full, c)
	return full
}

func TestNode_ReaderSize(t *testing.T) {
	content, err := os.ReadFile("testdata/reader.mjs")
	require.NoError(t, err)
	require.Less(t, bytes.Count(content, []byte("\n")), 60, "a reader of the format has fewer than 60 lines")
}
