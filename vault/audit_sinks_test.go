package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
)

// auditor is a sink in memory that fails on demand.
type auditor struct {
	mu      sync.Mutex
	entries []audit.Entry
	records []audit.Record // of entries
	failure vaultfixture.Failure
}

// all returns the entries so far.
func (a *auditor) all() []audit.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.entries)
}

func (a *auditor) Record(_ context.Context, _ string, entries []audit.Record) error {
	if err := a.failure.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records = append(a.records, entries...)
	for _, e := range entries {
		a.entries = append(a.entries, e.Entry)
	}
	return nil
}

func TestAuditSinks_Chain(t *testing.T) {
	t.Run("get each entry of the chain once", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		sink, err := audit.NewFileSink(path)
		require.NoError(t, err)
		defer sink.Close()
		var out bytes.Buffer
		a := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink, audit.NewSlogSink(slog.New(slog.NewTextHandler(&out, nil)))}})
		a.MustPut(t, "acme", "A", "1")
		a.Bundle(t, a.MustIssue(t, "acme"))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var actions []audit.Action
		for line := range strings.Lines(string(text)) {
			var e struct {
				Tenant string
				audit.Record
			}
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			require.Equal(t, "acme", e.Tenant)
			actions = append(actions, e.Action)
			require.EqualValues(t, len(actions), e.Seq)
		}
		require.Equal(t, []audit.Action{audit.Put, audit.Issue, audit.Deliver}, actions)
		require.Equal(t, 3, strings.Count(out.String(), "msg=audit"))

		require.NoError(t, sink.Close())
		_, err = a.Put(t.Context(), "acme", "A", bundle.NewValue("2"), nil)
		require.ErrorIs(t, err, audit.ErrNotRecorded)
	})

	t.Run("get what the chain has when two processes write and deliver at once", func(t *testing.T) {
		kek := keyringtest.NewFake("kek")
		file := filepath.Join(t.TempDir(), "vault.db")
		sinks := []*auditor{{}, {}}
		var processes []*fixture
		for _, sink := range sinks {
			processes = append(processes, openSQLite(t, file, kek).with(t, vault.Options{Audit: []audit.Sink{sink}}))
		}
		processes[0].MustPut(t, "acme", "A", "a")
		token := processes[0].MustIssue(t, "acme")
		outage := make(chan struct{}) // of the second sink, in the middle
		var wg sync.WaitGroup
		for i := range 60 {
			process := processes[i%2]
			wg.Go(func() {
				if i == 30 {
					sinks[1].failure.Set(errors.New("down"))
					close(outage)
				}
				if i == 40 {
					<-outage
					sinks[1].failure.Set(nil)
				}
				var err error
				switch i % 6 {
				case 0, 1:
					_, err = process.Bootstrap(t.Context(), token, nil)
				case 2, 3:
					_, err = process.Put(t.Context(), "acme", "A", bundle.NewValue(fmt.Sprint(i)), nil)
				default:
					_, _, err = process.IssueToken(t.Context(), fmt.Sprintf("acme/s%d", i%5), nil)
				}
				if err != nil && (process == processes[0] || !errors.Is(err, audit.ErrNotRecorded)) {
					t.Errorf("an operation failed: %v", err)
				}
			})
		}
		wg.Wait()
		processes[1].MustPut(t, "acme", "A", "last") // sends missed entries

		told := map[int64]audit.Entry{}
		for _, sink := range sinks {
			last := int64(0)
			for _, r := range sink.records {
				require.Greater(t, r.Seq, last, "a sink gets the entries of its process in the order of the chain, each once")
				last = r.Seq
				require.NotContains(t, told, r.Seq, "and those of no other process")
				told[r.Seq] = r.Entry
			}
		}
		chain := map[int64]audit.Entry{}
		for i, e := range processes[0].audit(t, "acme") {
			chain[int64(i)+1] = e
		}
		require.Equal(t, chain, told)
	})

	t.Run("get no entry of an attempt that conflicts", func(t *testing.T) {
		sink := &auditor{}
		f := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink}})
		f.MustPut(t, "acme", "A", "1")
		other := f.process(t)
		f.Storage.Meanwhile(1, func() { other.MustPut(t, "acme", "A", "2") })
		f.MustPut(t, "acme", "A", "3")
		require.Equal(t, int64(3), f.Storage.Applies.Load()-1, "one attempt conflicts")
		var versions []int64
		for _, r := range sink.records {
			require.Equal(t, r.Seq, r.Version)
			versions = append(versions, r.Version)
		}
		require.Equal(t, []int64{1, 3}, versions)
	})
}

func TestAuditSinks_NotRecorded(t *testing.T) {
	down := errors.New("the collector is down")

	t.Run("stores one operation and refuses the others", func(t *testing.T) {
		sink := &auditor{}
		f := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink}})
		f.MustPut(t, "acme", "A", "a")
		token := f.MustIssue(t, "acme")
		sink.failure.Set(down)
		_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("b"), nil)
		require.ErrorIs(t, err, audit.ErrNotRecorded)
		require.ErrorIs(t, err, down)
		require.ErrorContains(t, err, "the change to scope acme is stored, but its audit entry could not be recorded")
		refused := func(err error) {
			t.Helper()
			require.ErrorIs(t, err, audit.ErrNotRecorded)
			require.ErrorContains(t, err, "a sink has not recorded earlier entries yet")
		}
		_, err = f.Put(t.Context(), "acme", "A", bundle.NewValue("c"), nil)
		refused(err)
		_, err = f.Put(t.Context(), "globex", "A", bundle.NewValue("c"), nil)
		refused(err)
		_, _, err = f.IssueToken(t.Context(), "acme", nil)
		refused(err)
		b, err := f.Bootstrap(t.Context(), token, nil)
		refused(err)
		require.Nil(t, b)
		_, err = f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
		refused(err)
		require.Equal(t, vault.Health{Detail: "Audit entries cannot be recorded."}, f.Health(t.Context()))
		before := f.audit(t, "acme")
		require.Len(t, before, 3, "refused operations have no effect")
		require.Empty(t, f.audit(t, "globex"))

		sink.failure.Set(nil)
		require.Equal(t, vault.Health{Ready: true}, f.Health(t.Context()))
		require.Equal(t, before, sink.entries, "the health check has sent the missed entry")
		require.Equal(t, map[string]string{"A": "b"}, f.Values(t, token))
		require.Equal(t, f.audit(t, "acme"), sink.entries)

		f.Storage.FailApply.Set(down)
		_, err = f.Bootstrap(t.Context(), token, nil)
		require.ErrorIs(t, err, audit.ErrNotRecorded, "a delivery that storage does not record")
		_, err = f.Put(t.Context(), "acme", "A", bundle.NewValue("c"), nil)
		require.ErrorIs(t, err, down, "a write is stored with its entry, or not at all")
		f.Storage.FailApply.Set(nil)
		f.MustPut(t, "acme", "A", "d")
		require.Equal(t, f.audit(t, "acme"), sink.entries)
	})

	t.Run("does not matter with best effort", func(t *testing.T) {
		sink := &auditor{}
		f := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink}, AuditBestEffort: true})
		f.MustPut(t, "acme", "A", "a")
		token := f.MustIssue(t, "acme")
		sink.failure.Set(down)
		f.MustPut(t, "acme", "A", "b")
		require.Equal(t, map[string]string{"A": "b"}, f.Values(t, token))
		require.Equal(t, 2, f.Log.Errors(), "the failures are logged")
		require.Equal(t, vault.Health{Ready: true}, f.Health(t.Context()))
		f.Storage.FailApply.Set(down)
		require.Equal(t, map[string]string{"A": "b"}, f.Values(t, token))
		_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("c"), nil)
		require.ErrorIs(t, err, down, "a write is stored with its entry, or not at all")
		f.Storage.FailApply.Set(nil)
		_, err = f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
		require.NoError(t, err)
		_, err = f.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)
	})

	t.Run("is made up for by Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sink := &auditor{}
			f := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- f.Run(ctx) }()
			sink.failure.Set(down)
			for _, wait := range []func(){func() { time.Sleep(time.Minute) }, func() { cancel(); require.NoError(t, <-done) }} {
				_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue(time.Now().String()), nil)
				require.ErrorIs(t, err, audit.ErrNotRecorded)
				sink.failure.Set(nil)
				wait()
				require.Equal(t, f.audit(t, "acme"), sink.all())
				sink.failure.Set(down)
			}
		})
	})
}
