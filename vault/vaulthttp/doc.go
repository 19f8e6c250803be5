// Package vaulthttp serves a vault over HTTP: [Runners] for the bootstrap
// protocol of docs/protocol.md, [Admin] for the administrators' API of
// docs/openapi.yaml, [Health] and [Ready] for the service that starts and stops
// the process.
//
//	var drain vaulthttp.Drain
//	mux.Handle("/runners/", vaulthttp.Runners(v, &vaulthttp.Options{Drain: &drain}))
//	mux.Handle("/v1/", vaulthttp.Admin(v, authorize, nil))
//	mux.Handle("/healthz", vaulthttp.Health())
//	mux.Handle("/readyz", vaulthttp.Ready(v, &drain))
//
// All of them are handlers for an http.Server of your own. Behind a proxy they
// need [TrustedProxies]; before the server's Shutdown, [Drain.Start] ends the
// waits of runners. Refusals are problem documents (RFC 9457) of fixed texts;
// causes go to the log.
package vaulthttp
