// Package wycheproof runs the vectors of Project Wycheproof against the primitives of
// package keyring: AES-256-GCM, HKDF-SHA256 and HMAC-SHA256 of the standard library,
// called as keyring calls them.
//
// It is a separate module, because the vectors take a hundred megabytes that users of
// Satchel do not need.
package wycheproof
