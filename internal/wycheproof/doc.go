// Package wycheproof runs the vectors of Project Wycheproof against what package
// keyring is built on: AES-256-GCM, HKDF-SHA256 and HMAC-SHA256 of the standard
// library, called as keyring calls them.
//
// It is a module of its own, because the vectors are a hundred megabytes that
// no user of Satchel needs.
package wycheproof
