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
	// answerWithin bounds reading and answering a request. Runners wait up to 50
	// seconds, and a shorter read deadline would end their wait.
	answerWithin = 75 * time.Second
	headerWithin = 10 * time.Second
	idleFor      = 2 * time.Minute
	maxHeader    = 16 << 10
)

// serve is the command serve: it serves until ctx ends.
func serve(ctx context.Context, c *config, log *slog.Logger, out io.Writer) (err error) {
	p, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	s := &server{platform: p, config: c, log: log}
	defer s.sayHints(out) // reports created files if serving fails
	// This comes after the database; see signsOfData.
	var made string
	if s.admin, made, err = c.loadAdminToken(log); err != nil {
		return err
	}
	if made != "" {
		p.hints = append(p.hints, "Created the administrators' token in "+made)
	}
	if s.admin == nil {
		s.warnWithoutAdministrators(ctx)
	}
	return s.run(ctx, out)
}

// server serves a platform.
type server struct {
	*platform
	config *config
	log    *slog.Logger
	admin  func() string // returns the administrators' token; nil if there is none

	drain   vaulthttp.Drain
	counted time.Time // the time of the last line of counts
}

// run listens and serves until ctx ends.
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
		web.TLSConfig = &tls.Config{GetCertificate: certificate.forClient, MinVersion: tls.VersionTLS12}
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
	s.counted = time.Now()
	group.Go(func() { s.maintain(work) })
	group.Go(func() {
		if err := s.vault.Run(work); err != nil {
			s.log.Error("the vault's recurring work stopped", "error", err)
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
		group.Wait() // the vault stores times of last use
		s.counts.log(context.WithoutCancel(ctx), s.log, time.Since(s.counted))
		s.log.Info("ended")
		return nil
	}
}

// sayHints prints the hints in one write, once.
func (s *server) sayHints(out io.Writer) {
	if len(s.hints) > 0 {
		fmt.Fprintln(out, strings.Join(s.hints, "\n"))
	}
	s.hints = nil
}

// leave ends the server: it first reports to load balancers that it is not ready, then
// answers waiting runners, and then finishes the remaining requests.
func (s *server) leave(web *http.Server) {
	s.log.Info("ending", "delay", s.config.shutdownDelay, "timeout", s.config.shutdownTimeout)
	s.drain.Start(context.Background(), s.config.shutdownDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.shutdownTimeout)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		s.log.Warn("cutting off unfinished requests", "error", err)
		_ = web.Close()
	}
}

// handler serves all paths. It does not clean them: a path in another form is not found.
func (s *server) handler() http.Handler {
	remoteAddr := vaulthttp.TrustedProxies(s.config.trustedProxies...)
	runners := vaulthttp.Runners(s.vault, &vaulthttp.Options{
		RemoteAddr: remoteAddr,
		TokenLimit: s.config.limitToken, AddressLimit: s.config.limitAddress, FailureLimit: s.config.limitFailures,
		Limited: func(vaulthttp.LimitKind) { s.counts.limited.Add(1) },
		Drain:   &s.drain,
		Logger:  s.log,
	})
	admin := http.StripPrefix("/admin", vaulthttp.Admin(s.vault, vaulthttp.Authenticate(s.vault, s.authorize), &vaulthttp.AdminOptions{RemoteAddr: remoteAddr, Logger: s.log}))
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

// sharedActor is the actor of the administrators' token. No named administrator can have
// this name, because of the space.
const sharedActor = "shared token"

// authorize accepts the administrators' token.
func (s *server) authorize(r *http.Request) (vaulthttp.Actor, error) {
	if s.admin == nil {
		return vaulthttp.Actor{}, errors.New("only tokens of named administrators are accepted")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.admin()))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return vaulthttp.Actor{}, errors.New("not the administrators' token")
	}
	return vaulthttp.Actor{Name: sharedActor, Scopes: []string{vaulthttp.AllScopes}}, nil
}

// certificate returns the certificate of the settings, or the self-signed one.
func (s *server) certificate() (*certificate, error) {
	certFile, keyFile := s.config.tlsCert, s.config.tlsKey
	if certFile == "" {
		var err error
		if certFile, keyFile, err = selfSigned(s.config.data); err != nil {
			return nil, fmt.Errorf("creating a certificate: %w", err)
		}
		s.hints = append(s.hints, "Runners on this machine trust it with SSL_CERT_FILE="+certFile)
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
			s.counts.log(ctx, s.log, time.Since(s.counted))
			s.counted = time.Now()
		}
	}
}

// reopenAudit reopens the audit file by its name, after it was renamed.
func (s *server) reopenAudit() {
	if s.audit == nil {
		return
	}
	if err := s.audit.Reopen(); err != nil {
		s.log.Error("could not reopen the audit file", "error", err)
		return
	}
	s.log.Info("audit file reopened")
}

// handshakes lowers net/http's messages about failed TLS handshakes, which any client
// can cause, to debug.
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
