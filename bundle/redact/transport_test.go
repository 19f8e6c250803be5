package redact_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/internal/leaktest"
)

func TestTransport(t *testing.T) {
	t.Run("masks its dumps", func(t *testing.T) {
		const token = "s3cr3t-token"
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, err := io.ReadAll(req.Body)
			if err != nil || string(body) != "token="+token || req.Header.Get("Authorization") == "" {
				t.Errorf("the server got %q, %v", body, err)
			}
			w.Header().Set("Set-Cookie", "session="+token)
			fmt.Fprint(w, "hello "+token)
		}))
		defer server.Close()
		for _, bodies := range []bool{false, true} {
			var dump leaktest.Output
			client := &http.Client{Transport: &redact.Transport{Redactor: redact.New(secret("TOKEN", token)), Base: server.Client().Transport, Dump: &dump, Bodies: bodies}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/path?key="+url.QueryEscape(token), strings.NewReader("token="+token))
			require.NoError(t, err)
			req.SetBasicAuth("bot", token)
			resp, err := client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			client.CloseIdleConnections()
			require.Equal(t, "hello "+token, string(body), "the request and the response are not changed")
			got := dump.String()
			require.NotContains(t, got, token)
			for _, part := range []string{"POST /path?key=[TOKEN] HTTP/1.1", "Authorization: Basic Ym90On[TOKEN]", "HTTP/1.1 200 OK", "Set-Cookie: session=[TOKEN]"} {
				require.Contains(t, got, part)
			}
			require.Equal(t, bodies, strings.Contains(got, "hello [TOKEN]"), "bodies are in the dumps only if Bodies is set")
			require.Equal(t, bodies, strings.Contains(got, "token=[TOKEN]"))
		}
	})

	t.Run("masks its errors", func(t *testing.T) {
		const token = "s3cr3t-token"
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, "HTTP/nine "+token+"\r\n\r\n")
				_ = conn.Close()
			}
		}()
		r := redact.New(secret("TOKEN", token))
		var dump leaktest.Output
		transport := &redact.Transport{Redactor: r, Dump: &dump, Base: &http.Transport{DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/?t="+token, nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req)
		require.Nil(t, resp)
		require.ErrorContains(t, err, "[TOKEN]")
		require.NotContains(t, err.Error(), token)
		require.NotContains(t, dump.String(), token)
		require.Contains(t, dump.String(), "[TOKEN]")

		_, err = (&http.Client{Transport: transport}).Do(req)
		require.ErrorContains(t, err, token, "the client adds the URL to the error")
		require.NotContains(t, r.Error(err).Error(), token, "Error masks it again")
	})

	t.Run("dumps do not change the response", func(t *testing.T) {
		const token = "s3cr3t-token"
		// A dump in pieces of the usual 32 KiB would split the token.
		long := strings.Repeat("x", 32<<10-6) + token + strings.Repeat("y", 32<<10)
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		_, err := io.WriteString(zip, long)
		require.NoError(t, err)
		require.NoError(t, zip.Close())
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch req.URL.Path {
			case "/zipped":
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("Content-Length", strconv.Itoa(zipped.Len()))
				_, _ = w.Write(zipped.Bytes())
			case "/chunked":
				_ = http.NewResponseController(w).Flush()
				_, _ = io.WriteString(w, long)
			case "/long":
				w.Header().Set("Content-Length", strconv.Itoa(len(long)))
				_, _ = io.WriteString(w, long)
			}
		}))
		defer server.Close()
		for _, row := range []struct {
			path, accept, want string
			length             int
			dumped             int
		}{
			{"/long", "", long, len(long), 1},
			{"/chunked", "", long, -1, 1},
			{"/zipped", "", long, -1, 1},                          // the base transport decompresses it
			{"/zipped", "gzip", zipped.String(), zipped.Len(), 0}, // or not
		} {
			var dump leaktest.Output
			transport := &redact.Transport{Redactor: redact.New(secret("TOKEN", token)), Base: server.Client().Transport, Dump: &dump, Bodies: true}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+row.path, nil)
			require.NoError(t, err)
			if row.accept != "" {
				req.Header.Set("Accept-Encoding", row.accept)
			}
			resp, err := transport.RoundTrip(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.True(t, row.want == string(body), "%s %s: the body is not changed", row.path, row.accept)
			require.EqualValues(t, row.length, resp.ContentLength, "%s %s", row.path, row.accept)
			require.NotContains(t, dump.String(), token)
			require.Equal(t, row.dumped, strings.Count(dump.String(), "[TOKEN]"), "%s %s", row.path, row.accept)
		}
	})

	t.Run("closes a body that cannot be dumped", func(t *testing.T) {
		r := redact.New(secret("TOKEN", "s3cr3t-token"))
		empty := io.NopCloser(strings.NewReader(""))
		for of, bodies := range map[string][2]io.ReadCloser{
			"request":  {&brokenBody{}, empty},
			"response": {empty, &brokenBody{}},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:0/", bodies[0])
			require.NoError(t, err)
			base := roundTripper(func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Request: req, Body: bodies[1]}, nil
			})
			_, err = (&redact.Transport{Redactor: r, Base: base, Dump: io.Discard, Bodies: true}).RoundTrip(req)
			require.EqualError(t, err, "reading [TOKEN]: unexpected EOF", of)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, of)
			for _, body := range bodies {
				if broken, ok := body.(*brokenBody); ok {
					require.True(t, broken.closed, "the Transport must close the body of the %s", of)
				}
			}
		}
	})
}

type brokenBody struct{ closed bool }

func (b *brokenBody) Read([]byte) (int, error) {
	return 0, fmt.Errorf("reading s3cr3t-token: %w", io.ErrUnexpectedEOF)
}
func (b *brokenBody) Close() error { b.closed = true; return nil }

type roundTripper func(req *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
