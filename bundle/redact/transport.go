package redact

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httputil"
)

// Transport is an [http.RoundTripper] that masks its errors and dumps. It does not
// change requests and responses. It is safe for concurrent use if Base and Dump
// are.
//
// An [http.Client] adds the URL to the error of its Transport: if a URL may hold a
// secret, mask the client's error with [Redactor.Error].
type Transport struct {
	// Redactor holds the secrets to mask. It is required.
	Redactor *Redactor
	// Base makes the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
	// Dump receives a masked dump of each request before it is sent, and a dump of
	// the response or the text of the error afterwards, each in one Write.
	// Requests may run concurrently. Errors of Dump are ignored. Default: nil, no
	// dumps.
	Dump io.Writer
	// Bodies includes the bodies in the dumps. They are read into memory, so do
	// not use it for endless responses. Secrets in compressed bodies are not
	// found. Default: false, headers only.
	Bodies bool
}

// RoundTrip implements [http.RoundTripper]. If it cannot read a body for a dump, it
// closes the body and returns the masked error.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := cmp.Or[http.RoundTripper](t.Base, http.DefaultTransport)
	if t.Dump == nil {
		resp, err := base.RoundTrip(req)
		return resp, t.Redactor.Error(err)
	}
	own := *req // a dump replaces the body, and a RoundTripper must not change the request
	head, err := httputil.DumpRequest(&own, t.Bodies)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, t.Redactor.Error(err)
	}
	t.dump(head)
	resp, err := base.RoundTrip(&own)
	if err != nil {
		err = t.Redactor.Error(err)
		t.dump([]byte(err.Error() + "\n"))
		return nil, err
	}
	if head, err = httputil.DumpResponse(resp, t.Bodies); err != nil {
		_ = resp.Body.Close()
		return nil, t.Redactor.Error(err)
	}
	t.dump(head)
	return resp, nil
}

func (t *Transport) dump(b []byte) { _, _ = t.Dump.Write(t.Redactor.Bytes(b)) }

// CloseIdleConnections closes the idle connections of Base, for [http.Client].
func (t *Transport) CloseIdleConnections() {
	if base, ok := cmp.Or[http.RoundTripper](t.Base, http.DefaultTransport).(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}
