package vaulthttp_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// BenchmarkRunners measures requests for a bundle of fifty secrets of 256 bytes
// over HTTP/1.1 on loopback, without TLS: new, with its audit entry, and unchanged.
// The client repeats the same bytes on open connections and discards the responses,
// so that the server dominates the measurement.
func BenchmarkRunners(b *testing.B) {
	for name, open := range map[string]func(testing.TB) store.Store{"memory": openMemory, "SQLite": openFile, "PostgreSQL": openServer} {
		b.Run(name, func(b *testing.B) {
			f := newFixtureOver(b, open(b), keyringtest.NewFake("kek"))
			token := f.Fifty(b)
			revision := f.Bundle(b, token).Revision()
			unlimited := vaulthttp.Limit{PerSecond: -1}
			server := httptest.NewServer(vaulthttp.Runners(f.Vault, &vaulthttp.Options{
				TokenLimit: unlimited, AddressLimit: unlimited, Logger: slog.New(slog.DiscardHandler),
			}))
			b.Cleanup(server.Close)
			for status, request := range map[int]string{
				http.StatusOK:          rawRequest(token, ""),
				http.StatusNotModified: rawRequest(token, "If-None-Match: \""+revision+"\"\r\n"),
			} {
				b.Run(fmt.Sprintf("%d/sequential", status), func(b *testing.B) {
					c := dialRaw(b, server, request)
					b.ReportAllocs()
					for b.Loop() {
						c.ask(status)
					}
				})
				b.Run(fmt.Sprintf("%d/parallel", status), func(b *testing.B) {
					b.SetParallelism(8) // for each core
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) {
						c := dialRaw(b, server, request)
						for pb.Next() {
							c.ask(status)
						}
					})
				})
			}
		})
	}
}

func openMemory(testing.TB) store.Store { return memstore.New() }

func openFile(t testing.TB) store.Store {
	return openSQL(t, "sqlite", filepath.Join(t.TempDir(), "vault.db"), sqlstore.SQLite)
}

func openServer(t testing.TB) store.Store {
	return openSQL(t, "pgx", postgrestest.StartOnDisk(t).DSN(), sqlstore.Postgres)
}

// openSQL returns a store with a bounded pool, as docs/scale.md recommends.
func openSQL(t testing.TB, driver, name string, d sqlstore.Dialect) store.Store {
	t.Helper()
	db, err := sql.Open(driver, name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	storage, err := sqlstore.Open(t.Context(), db, d)
	require.NoError(t, err)
	return storage
}

func rawRequest(token bundle.Value, more string) string {
	return "GET /runners/bootstrap HTTP/1.1\r\nHost: platform\r\nAuthorization: Bearer " + token.Reveal() + "\r\n" + more + "\r\n"
}

// raw is a minimal HTTP client.
type raw struct {
	t       testing.TB
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dialRaw(t testing.TB, server *httptest.Server, request string) *raw {
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t, conn, bufio.NewReaderSize(conn, 64<<10), []byte(request)}
}

// ask sends the request and reads the response, which must have the status.
func (c *raw) ask(status int) {
	if _, err := c.conn.Write(c.request); err != nil {
		c.t.Error(err)
		return
	}
	got, length, chunked := 0, 0, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			c.t.Error(err)
			return
		}
		text := strings.TrimSpace(string(line)) // stays on the stack
		if text == "" {
			break
		}
		if rest, ok := strings.CutPrefix(text, "HTTP/1.1 "); ok {
			got, _ = strconv.Atoi(rest[:3])
		} else if rest, ok := strings.CutPrefix(text, "Content-Length: "); ok {
			length, _ = strconv.Atoi(rest)
		} else if text == "Transfer-Encoding: chunked" {
			chunked = true
		}
	}
	if got != status {
		c.t.Errorf("the status is %d, want %d", got, status)
	}
	if !chunked {
		_, _ = c.in.Discard(length)
		return
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			c.t.Error(err)
			return
		}
		size, _ := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if _, err := io.CopyN(io.Discard, c.in, size+2); err != nil || size == 0 {
			return
		}
	}
}
