// Package api has the JSON types of a platform's admin API, which package
// vaulthttp serves, package admin asks and docs/openapi.yaml describes. The
// methods of a vault return the same types.
//
// No type here holds a secret's value or a runner's token: whatever this package
// has can be printed, logged and encoded.
package api
