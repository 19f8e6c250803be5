package audit_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/audit/audittest"
)

// TestSink_Collector checks the sink of the example against the contract.
func TestSink_Collector(t *testing.T) {
	audittest.Run(t, func(t *testing.T) (audit.Sink, func() ([]audittest.Record, error)) {
		var mu sync.Mutex
		var kept []audittest.Record
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				Tenant  string
				Entries []audit.Record
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range body.Entries {
				kept = append(kept, audittest.Record{Tenant: body.Tenant, Record: e})
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		t.Cleanup(service.Close)
		sink := &collector{url: service.URL, client: service.Client()}
		return sink, func() ([]audittest.Record, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(kept), nil
		}
	})
}
