// Package hashivault reads secrets from the key-value engine, version 2, of a
// HashiCorp Vault, or of an OpenBao.
//
//	layers := []bundle.Provider{
//		platform,
//		&hashivault.KV{Address: "https://vault.example.com", Token: token, Path: "runners/pool-a"},
//	}
//
// What "vault kv put -mount=secret runners/pool-a API_KEY=…" wrote is then the
// secret API_KEY. The token needs one line of policy:
//
//	path "secret/data/runners/pool-a" { capabilities = ["read"] }
//
// A token that something else renews or replaces is read whenever it is asked
// for:
//
//	token := func(context.Context) (bundle.Value, error) {
//		data, err := os.ReadFile("/run/vault/token")
//		return bundle.NewValue(strings.TrimSpace(string(data))), err
//	}
//
// The package speaks HTTP itself and needs no library of Vault's.
package hashivault
