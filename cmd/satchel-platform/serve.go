package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/vault/vaulthttp"
)

const (
	// answerWithin bounds a request. Runners wait for 50 seconds at most, and a
	// deadline for reading would end their wait too.
	answerWithin = 75 * time.Second
	headerWithin = 10 * time.Second
	idleFor      = 2 * time.Minute
	maxHeader    = 16 << 10
)

// serve serves until ctx ends.
func serve(ctx context.Context, c *config, log *slog.Logger, out io.Writer) (err error) {
	token, made, err := c.loadAdminToken()
	if err != nil {
		return err
	}
	p, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if made != "" {
		p.hints = append(p.hints, "The administrators' token was made in "+made)
	}
	s := &server{platform: p, config: c, log: log, admin: sha256.Sum256([]byte(token))}
	defer s.sayHints(out) // of what was made, if it did not come to serving
	return s.run(ctx, out)
}

// server serves a platform.
type server struct {
	*platform
	config *config
	log    *slog.Logger
	admin  [sha256.Size]byte // of the administrators' token

	drain vaulthttp.Drain
}

func (s *server) run(ctx context.Context, out io.Writer) error {
	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       answerWithin,
		WriteTimeout:      answerWithin,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(&handshakes{s.log.Handler()}, slog.LevelWarn),
	}
	scheme := "http"
	if !s.config.insecureLoopback {
		scheme = "https"
		certificate, err := s.certificate()
		if err != nil {
			return err
		}
		web.TLSConfig = &tls.Config{GetCertificate: certificate.get, MinVersion: tls.VersionTLS12}
	}
	listener, err := net.Listen("tcp", s.config.listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	serving := fmt.Sprintf("Serving %s://%s", scheme, listener.Addr())
	s.hints = append([]string{serving}, s.hints...)
	s.sayHints(out)
	s.log.Info("serving", "address", listener.Addr().String(), "postgres", s.config.postgres(), "kek", s.config.kek.service)

	var group sync.WaitGroup
	defer group.Wait()
	work, endWork := context.WithCancel(context.Background())
	defer endWork()
	group.Go(func() { s.maintain(work) })
	group.Go(func() {
		if err := s.vault.Run(work); err != nil {
			s.log.Error("the vault's recurring work does not run", "error", err)
		}
	})
	failed := make(chan error, 1)
	group.Go(func() {
		if scheme == "https" {
			failed <- web.ServeTLS(listener, "", "")
		} else {
			failed <- web.Serve(listener)
		}
	})
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		s.leave(web)
		endWork()
		group.Wait() // the vault stores what it has collected
		s.counts.log(context.WithoutCancel(ctx), s.log)
		s.log.Info("ended")
		return nil
	}
}

// sayHints prints the hints, once and at one go.
func (s *server) sayHints(out io.Writer) {
	if len(s.hints) > 0 {
		fmt.Fprintln(out, strings.Join(s.hints, "\n"))
	}
	s.hints = nil
}

// leave ends the server: first whoever balances load is told, then the runners
// that wait, and then the rest is answered.
func (s *server) leave(web *http.Server) {
	s.log.Info("ending", "delay", s.config.shutdownDelay, "timeout", s.config.shutdownTimeout)
	s.drain.Start(context.Background(), s.config.shutdownDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.shutdownTimeout)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		s.log.Warn("cutting off requests that are still being answered", "error", err)
		_ = web.Close()
	}
}

// handler serves everything. It does not clean paths: what is not written as it
// should be is not found.
func (s *server) handler() http.Handler {
	remoteAddr := vaulthttp.TrustedProxies(s.config.trustedProxies...)
	runners := vaulthttp.Runners(s.vault, &vaulthttp.Options{
		RemoteAddr: remoteAddr,
		TokenLimit: s.config.limitToken, AddressLimit: s.config.limitAddress, FailureLimit: s.config.limitFailures,
		Limited: func(vaulthttp.LimitKind) { s.counts.limited.Add(1) },
		Drain:   &s.drain,
		Logger:  s.log,
	})
	admin := http.StripPrefix("/admin", vaulthttp.Admin(s.vault, s.authorize, &vaulthttp.AdminOptions{RemoteAddr: remoteAddr, Logger: s.log}))
	health, ready := vaulthttp.Health(), vaulthttp.Ready(s.vault, &s.drain)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/healthz":
			health.ServeHTTP(w, r)
		case path == "/readyz":
			ready.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/admin/"):
			admin.ServeHTTP(w, r)
		default:
			runners.ServeHTTP(w, r)
		}
	})
}

// authorize knows one administrator, by the token.
func (s *server) authorize(r *http.Request) (vaulthttp.Actor, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], s.admin[:]) != 1 {
		return vaulthttp.Actor{}, errors.New("not the administrators' token")
	}
	return vaulthttp.Actor{Name: "admin", Scopes: []string{vaulthttp.AllScopes}}, nil
}

// certificate returns that of the settings, or one that is made here.
func (s *server) certificate() (*certificate, error) {
	certFile, keyFile := s.config.tlsCert, s.config.tlsKey
	if certFile == "" {
		var err error
		if certFile, keyFile, err = selfSigned(s.config.data); err != nil {
			return nil, fmt.Errorf("making a certificate: %w", err)
		}
		s.hints = append(s.hints, "For runners on this machine to trust it: SSL_CERT_FILE="+certFile)
	}
	return newCertificate(certFile, keyFile, s.log)
}

// maintain reopens the audit file at SIGHUP and logs a line of counts every
// minute, until ctx is done.
func (s *server) maintain(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			s.reopenAudit()
		case <-minute.C:
			s.counts.log(ctx, s.log)
		}
	}
}

// reopenAudit makes the audit file anew after somebody renamed it.
func (s *server) reopenAudit() {
	if s.audit == nil {
		return
	}
	if err := s.audit.Reopen(); err != nil {
		s.log.Error("could not reopen the audit file", "error", err)
		return
	}
	s.log.Info("the audit file was reopened")
}

// handshakes lowers what net/http says of clients that break off, which
// anybody can make it say, to debug.
type handshakes struct{ slog.Handler }

func (h *handshakes) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error") {
		r.Level = slog.LevelDebug
	}
	if !h.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}
