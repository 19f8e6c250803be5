// Package hashivault keeps the key-encryption key in the transit engine of a
// HashiCorp Vault, or of an OpenBao.
//
//	client, err := api.NewClient(api.DefaultConfig())
//	…
//	kek, err := hashivault.New(client, "transit", "satchel")
//	…
//	keys, err := keyring.New(kek, nil)
//
// The key has to be there before. Its type is aes256-gcm96, Vault's default,
// aes128-gcm96 or chacha20-poly1305, and it is not derived:
//
//	vault write -f transit/keys/satchel
//
// The policy of the client's token needs two lines. It needs neither "create",
// with which Vault would make a key that is missing, nor to read the key:
//
//	path "transit/encrypt/satchel" { capabilities = ["update"] }
//	path "transit/decrypt/satchel" { capabilities = ["update"] }
//
// # What binds the context
//
// A data key is bound to its context by the parameter associated_data, which
// exists since Vault 1.13. Older servers ignore it; keys of other types refuse
// it; and a key-value engine mounted in the place of transit would store
// whatever it is sent. So the first Wrap of a [KEK] sends a random probe, not
// the data key, and goes on only if the key refuses to decrypt the probe under
// other associated data. That is a failed decryption in Vault's audit log for
// each process that wraps.
//
// # Rotation
//
// "vault write -f transit/keys/satchel/rotate" adds a version, which wraps from
// then on. Old versions go on unwrapping until min_decryption_version is raised
// above them, so [keyring.Keyring.Rewrap] comes first.
//
// # What it is tested against
//
// A real HashiCorp Vault 1.21, with the policy above. OpenBao was not tried.
package hashivault
