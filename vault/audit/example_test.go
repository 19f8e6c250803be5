package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
)

// newRecordingVault returns a vault in memory that records to sinks. Its key is in the
// code, which is acceptable only in examples.
func newRecordingVault(ctx context.Context, sinks ...audit.Sink) (*vault.Vault, error) {
	kek, err := local.New("example", []byte("thirty-two bytes for the example"))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		return nil, err
	}
	return vault.New(ctx, memstore.New(), keys, &vault.Options{Audit: sinks})
}

// A vault records to a file that is rotated while in use.
func ExampleFileSink() {
	folder, err := os.MkdirTemp("", "audit")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "audit.jsonl")

	file, err := audit.NewFileSink(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	ctx := vault.WithActor(context.Background(), "ada@example.com")
	v, err := newRecordingVault(ctx, file)
	if err != nil {
		log.Fatal(err)
	}
	put := func(name string) {
		if _, err := v.Put(ctx, "acme/web", name, bundle.NewValue("a value"), nil); err != nil {
			log.Fatal(err)
		}
	}

	put("BEFORE")
	if err := os.Rename(path, path+".1"); err != nil {
		log.Fatal(err)
	}
	if err := file.Reopen(); err != nil { // for example on SIGHUP
		log.Fatal(err)
	}
	put("AFTER")

	for _, name := range []string{path + ".1", path} {
		text, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		var e audit.Entry
		if err := json.Unmarshal(text, &e); err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Actor, e.Action, e.Scope, e.Name, e.Version)
	}
	// Output:
	// ada@example.com secret.put acme/web BEFORE 1
	// ada@example.com secret.put acme/web AFTER 1
}

// collector is a sink that posts entries to an HTTP service.
type collector struct {
	url    string
	client *http.Client
}

func (c *collector) Record(ctx context.Context, tenant string, entries []audit.Record) error {
	body, err := json.Marshal(map[string]any{"tenant": tenant, "entries": entries})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the collector responded with %s", resp.Status)
	}
	return nil
}

// Any type with the method Record is a sink. Package audittest checks such a type.
func ExampleSink() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"action":"secret.delete"`) {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer service.Close()

	ctx := vault.WithActor(context.Background(), "ada@example.com")
	v, err := newRecordingVault(ctx, &collector{url: service.URL, client: service.Client()})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := v.Put(ctx, "acme/web", "A", bundle.NewValue("a value"), nil); err != nil {
		log.Fatal(err)
	}
	err = v.Delete(ctx, "acme/web", "A")
	fmt.Println(errors.Is(err, audit.ErrNotRecorded), err)

	// The chain in storage has both entries. The vault sends the second one to the sink
	// again, before any further change. Keep the head of the chain outside the database.
	head, err := v.VerifyAudit(ctx, "acme", nil, func(seq int64, e audit.Entry) error {
		fmt.Println(seq, e.Action, e.Name)
		return nil
	})
	fmt.Println(head.Seq, err)
	// Output:
	// true deleting secret "A" in scope "acme/web": the change to scope acme/web is stored, but its audit entry could not be recorded by a sink, although it is in the chain: the collector responded with 503 Service Unavailable
	// 1 secret.put A
	// 2 secret.delete A
	// 2 <nil>
}
