package redact

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httputil"
)

// Transport is an [http.RoundTripper] whose errors and dumps are masked.
//
// The error that an [http.Client] returns has the URL around that of the
// Transport: where a URL may hold a secret, mask it with [Redactor.Error].
type Transport struct {
	// Redactor knows what to mask. It is required.
	Redactor *Redactor
	// Base makes the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
	// Dump gets a dump of each request before it is sent, and one of each
	// response or the text of the error after, each in one Write. Requests may
	// run side by side. What Dump returns is ignored. Default: none.
	Dump io.Writer
	// Bodies adds the bodies to the dumps. They are read into memory for this,
	// so answers that never end must not be dumped so. In those that are
	// compressed nothing is found. Default: heads only.
	Bodies bool
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := cmp.Or[http.RoundTripper](t.Base, http.DefaultTransport)
	if t.Dump == nil {
		resp, err := base.RoundTrip(req)
		return resp, t.Redactor.Error(err)
	}
	own := *req // a dump replaces the body, and the request is not ours to change
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

// CloseIdleConnections closes those of Base, for [http.Client].
func (t *Transport) CloseIdleConnections() {
	if base, ok := cmp.Or[http.RoundTripper](t.Base, http.DefaultTransport).(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}
