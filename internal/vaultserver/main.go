// Command vaultserver runs a HashiCorp Vault for tests, with the transit and KV engines, on
// a free port of 127.0.0.1. Its storage is in memory.
//
// When it is ready, it prints one line of JSON with "address", "root_token" and
// "unseal_key", the single key share that unseals it. It stops at the end of its standard
// input, and on SIGTERM and SIGINT, so that it does not outlive a test that dies.
//
// It is a separate module so that users of Satchel do not download Vault. Package
// hashivaulttest starts it.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

// ready is the printed line.
type ready struct {
	Address   string `json:"address"`
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"`
}

// run serves until ctx is done.
func run(ctx context.Context, out io.Writer) error {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error})
	core, err := newCore(logger)
	if err != nil {
		return fmt.Errorf("creating the core: %w", err)
	}
	shares, err := core.Initialize(context.Background(), &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return fmt.Errorf("initializing: %w", err)
	}
	if _, err := core.Unseal(shares.SecretShares[0]); err != nil {
		return fmt.Errorf("unsealing: %w", err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		// The core panics without a ListenerConfig.
		Handler:           vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}}),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          logger.StandardLogger(nil),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	err = json.NewEncoder(out).Encode(ready{
		Address:   "http://" + listener.Addr().String(),
		RootToken: shares.RootToken,
		UnsealKey: hex.EncodeToString(shares.SecretShares[0]),
	})
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// newCore returns a Vault with storage in memory. It includes the token auth method and
// policies.
func newCore(logger hclog.Logger) (*vault.Core, error) {
	physical, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	engines := map[string]logical.Factory{"transit": transit.Factory, "kv": kv.Factory}
	return vault.NewCore(&vault.CoreConfig{
		Physical:        physical,
		Logger:          logger,
		DisableMlock:    true,
		LogicalBackends: engines,
		BuiltinRegistry: registry(engines),
	})
}
