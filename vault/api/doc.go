// Package api defines the JSON types of the platform's admin API. Package vaulthttp serves
// that API, package admin is its client, and docs/openapi.yaml describes it. The
// methods of a vault return the same types.
//
// No type in this package holds the value of a secret or a runner token, so all of
// them can be printed, logged and encoded.
package api
