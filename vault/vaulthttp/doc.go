// Package vaulthttp serves a vault over HTTP: [Runners] for the bootstrap
// protocol of docs/protocol.md, [Admin] for the administrators' API of
// docs/openapi.yaml, and [Health] and [Ready] for the probes of an orchestrator.
//
//	var drain vaulthttp.Drain
//	mux.Handle("/runners/", vaulthttp.Runners(v, &vaulthttp.Options{Drain: &drain}))
//	mux.Handle("/v1/", vaulthttp.Admin(v, authorize, nil))
//	mux.Handle("/healthz", vaulthttp.Health())
//	mux.Handle("/readyz", vaulthttp.Ready(v, &drain))
//
// All of them are handlers for your own http.Server. [Authenticate] returns an authorize
// function for the tokens of the vault's named administrators. Behind a proxy, the
// handlers need [TrustedProxies]. The server's Shutdown ends the waits of runners;
// before it, [Drain.Start] makes the process unready for load balancers. Refusals are
// problem documents (RFC 9457). Those for failures of the platform have fixed texts; the
// log has the causes.
package vaulthttp
