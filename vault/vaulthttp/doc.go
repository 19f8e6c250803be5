// Package vaulthttp serves a vault over HTTP: [Runners] for the bootstrap
// protocol of docs/protocol.md, [Admin] for the administrators' API of
// docs/openapi.yaml, [Health] and [Ready] for the service that starts and stops
// the process.
//
//	mux.Handle("/runners/", vaulthttp.Runners(v, nil))
//	mux.Handle("/v1/", vaulthttp.Admin(v, authorize, nil))
//	mux.Handle("/healthz", vaulthttp.Health())
//	mux.Handle("/readyz", vaulthttp.Ready(v))
//
// All of them are handlers for an http.Server of your own. Refusals are problem
// documents (RFC 9457) of fixed texts; causes go to the log.
package vaulthttp
