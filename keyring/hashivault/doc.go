// Package hashivault implements key-encryption keys in the transit engine of
// HashiCorp Vault or OpenBao.
//
//	client, err := api.NewClient(api.DefaultConfig())
//	…
//	kek, err := hashivault.New(client, "transit", "satchel")
//	…
//	keys, err := keyring.New(kek, nil)
//
// The key must already exist. Its type is aes256-gcm96 (Vault's default),
// aes128-gcm96 or chacha20-poly1305, and it is not derived:
//
//	vault write -f transit/keys/satchel
//
// The policy of the client's token needs two lines. It needs neither "create", which
// would allow Vault to create a missing key, nor permission to read the key:
//
//	path "transit/encrypt/satchel" { capabilities = ["update"] }
//	path "transit/decrypt/satchel" { capabilities = ["update"] }
//
// # Binding the context
//
// The parameter associated_data binds a data key to its context. It exists since
// Vault 1.13. Older servers ignore it, keys of other types reject it, and a key-value
// engine mounted in place of transit would store any request. Therefore the first Wrap
// of a [KEK] sends a random probe instead of the data key, and continues only if the
// key refuses to decrypt the probe under other associated data. This causes one failed
// decryption in Vault's audit log for each process that wraps.
//
// # Rotation
//
// "vault write -f transit/keys/satchel/rotate" adds a version, which then wraps. Old
// versions continue to unwrap until min_decryption_version is raised above them. Use
// [keyring.Keyring.Rewrap] on all records before that.
//
// # Tested servers
//
// The package is tested with HashiCorp Vault 1.21 and the policy above. It is not
// tested with OpenBao.
package hashivault
