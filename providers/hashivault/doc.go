// Package hashivault reads secrets from the key-value engine, version 2, of
// HashiCorp Vault or OpenBao.
//
//	layers := []bundle.Provider{
//		platform,
//		&hashivault.KV{Address: "https://vault.example.com", Token: token, Path: "runners/pool-a"},
//	}
//
// After "vault kv put -mount=secret runners/pool-a API_KEY=…", the bundle has the
// secret API_KEY. The token needs one line of policy:
//
//	path "secret/data/runners/pool-a" { capabilities = ["read"] }
//
// A token that another process renews or replaces can be read for each Fetch:
//
//	token := func(context.Context) (bundle.Value, error) {
//		data, err := os.ReadFile("/run/vault/token")
//		return bundle.NewValue(strings.TrimSpace(string(data))), err
//	}
//
// The package uses HTTP directly, without Vault's client library.
package hashivault
