package hashivault

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"unicode"

	"github.com/satchelhq/satchel/keyring"
)

// maxResponse limits the body of a response, in bytes. A response with a data key has
// less than 1,000.
const maxResponse = 64 << 10

// noType is an invalid key type. Vault would create a missing key of the given type;
// with this one a misspelled or deleted key is an error.
const noType = "none-the-key-must-exist"

// A request is the body of both operations. JSON encodes the bytes in base64, as Vault
// expects.
type request struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData []byte `json:"associated_data"`
	Type           string `json:"type,omitempty"`
}

// A response is the body of the response to both operations, or of an error.
type response struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  []byte `json:"plaintext"`
	} `json:"data"`
	RequestID string   `json:"request_id"`
	Warnings  []string `json:"warnings"`
	Errors    []string `json:"errors"`
}

// refuses reports whether a response of a media type is a refusal of Vault: it lists
// errors, or has an ID and lists warnings, as a key-value engine does for other paths.
func (r *response) refuses(kind string) bool {
	return kind == "application/json" && (r.Errors != nil || r.RequestID != "" && r.Warnings != nil)
}

// call sends one request to the path of the operation for this key. From the response
// its errors quote only the status.
func (k *KEK) call(ctx context.Context, operation string, r request) (*response, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(operation), err)
	}
	status, kind, data, err := k.send(ctx, operation, r)
	defer clear(data)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(operation), ctx.Err())
	}
	if errors.Is(err, errToken) {
		return nil, fmt.Errorf("%w: %s: %w", keyring.ErrDenied, k.path(operation), err)
	}
	if err != nil {
		return nil, k.strange(operation, k.host()+": "+reason(err))
	}
	var a response
	err = json.Unmarshal(data, &a)
	switch {
	case status != http.StatusOK && (err != nil || !a.refuses(kind)):
		return nil, k.strange(operation, foreign(status))
	case status != http.StatusOK:
		return nil, k.refusal(operation, status, a.Errors)
	case err != nil:
		return nil, k.strange(operation, "invalid response; check the address and any proxy between this machine and Vault")
	case ignored(a.Warnings):
		clear(a.Data.Plaintext)
		return nil, fmt.Errorf("%w: the server ignores associated_data, which binds the context; use Vault 1.13 or later", keyring.ErrKeyState)
	}
	return &a, nil
}

// send returns the status, the media type and the body of the response.
func (k *KEK) send(ctx context.Context, operation string, r request) (status int, kind string, data []byte, err error) {
	client, own := k.clients()
	if strings.ContainsFunc(client.Token(), unicode.IsControl) {
		return 0, "", nil, errToken
	}
	if limit := client.ClientTimeout(); limit > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	body, err := json.Marshal(r)
	if err != nil {
		return 0, "", nil, err
	}
	prepared := client.NewRequest(http.MethodPut, "/v1/"+k.path(operation))
	prepared.WrapTTL = "" // a wrapped response would contain no data
	prepared.BodyBytes = body
	req, err := prepared.ToHTTP()
	if err != nil {
		return 0, "", nil, err
	}
	// Lets the transport use another connection if the server has just closed an
	// idle one.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	resp, err := own.Do(req.WithContext(ctx))
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err == nil && len(data) > maxResponse {
		err = errTooLarge
	}
	kind, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return resp.StatusCode, kind, data, err
}

// host returns the host and port of the server.
func (k *KEK) host() string {
	client, _ := k.clients()
	u, err := url.Parse(client.Address())
	if err != nil {
		return "the server"
	}
	return u.Host
}

func (k *KEK) path(operation string) string { return k.mount + "/" + operation + "/" + k.name }

// ignored reports whether the server warns that it ignored the associated data.
func ignored(warnings []string) bool {
	for _, w := range warnings {
		if strings.Contains(w, "associated_data") || strings.Contains(w, "unrecognized parameter") {
			return true
		}
	}
	return false
}

// strange returns the error for an invalid or missing response.
func (k *KEK) strange(operation, problem string) error {
	return fmt.Errorf("%w: %s: %s", keyring.ErrUnavailable, k.path(operation), problem)
}

// errToken means that the token cannot be sent in a header. A common cause is a file
// that was read with its final newline.
var errToken = errors.New("the client's token contains a newline or another control character; remove it")

var errTooLarge = errors.New("response too large")

// reason explains a missing response in fixed words, because the text of err may quote
// the server or contain the password of a proxy.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate cannot be trusted"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the host's name cannot be resolved"
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	case ok && timeout.Timeout():
		return "no response in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the response was complete"
	}
	return "invalid HTTP response"
}
