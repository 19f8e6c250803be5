package hashivault

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"unicode"

	"github.com/satchelhq/satchel/keyring"
)

// maxAnswer bounds the body of an answer, in bytes. One with a data key has
// less than 1,000.
const maxAnswer = 64 << 10

// noType stands where Vault takes the type of a key to be created, so that it
// creates none: a misspelled name, or a key that was deleted, is an error.
const noType = "none-the-key-must-exist"

// request is the body of both operations. JSON carries the bytes as base64,
// which is what Vault wants.
type request struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData []byte `json:"associated_data"`
	Type           string `json:"type,omitempty"`
}

// answer is the body of both, and of refusals.
type answer struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  []byte `json:"plaintext"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
	Errors   []string `json:"errors"`
}

// call makes one request to the operation's path of this key. Its errors say
// nothing that the server said but the status.
func (k *KEK) call(ctx context.Context, operation string, r request) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(operation), err)
	}
	status, data, err := k.send(ctx, operation, r)
	defer clear(data)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(operation), ctx.Err())
	}
	if errors.Is(err, errToken) {
		return nil, fmt.Errorf("%w: %s: %w", keyring.ErrDenied, k.path(operation), err)
	}
	if err != nil {
		return nil, k.strange(operation, reason(err)+"; asked "+k.host())
	}
	var a answer
	err = json.Unmarshal(data, &a)
	switch {
	case status != http.StatusOK:
		return nil, k.refusal(operation, status, a.Errors)
	case err != nil:
		return nil, k.strange(operation, "the answer is not Vault's; check the address, and what stands before the server")
	case ignored(a.Warnings):
		clear(a.Data.Plaintext)
		return nil, fmt.Errorf("%w: the server ignores associated_data, which binds the context; it takes Vault 1.13 or later", keyring.ErrKeyState)
	}
	return &a, nil
}

// send returns the status and the body of the answer.
func (k *KEK) send(ctx context.Context, operation string, r request) (status int, data []byte, err error) {
	client, own := k.clients()
	if strings.ContainsFunc(client.Token(), unicode.IsControl) {
		return 0, nil, errToken
	}
	if limit := client.ClientTimeout(); limit > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	body, err := json.Marshal(r)
	if err != nil {
		return 0, nil, err
	}
	prepared := client.NewRequest(http.MethodPut, "/v1/"+k.path(operation))
	prepared.WrapTTL = "" // an answer that is wrapped for somebody else holds nothing
	prepared.BodyBytes = body
	req, err := prepared.ToHTTP()
	if err != nil {
		return 0, nil, err
	}
	// Lets the transport use another connection when the server has just closed
	// an idle one.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	resp, err := own.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = errTooLarge
	}
	return resp.StatusCode, data, err
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

// ignored tells whether a warning says that the server passed over the
// associated data.
func ignored(warnings []string) bool {
	for _, w := range warnings {
		if strings.Contains(w, "associated_data") || strings.Contains(w, "unrecognized parameter") {
			return true
		}
	}
	return false
}

// strange returns the error for an answer that does not count, or for none.
func (k *KEK) strange(operation, what string) error {
	return fmt.Errorf("%w: %s: %s", keyring.ErrUnavailable, k.path(operation), what)
}

// errToken means that the token does not fit into a request. It comes of a file
// that was read with its final newline.
var errToken = errors.New("the client's token has a line end or another control character in it; cut it off")

var errTooLarge = errors.New("the answer is too large to be Vault's")

// reason says in fixed words why there was no answer. The error's own text may
// quote what came from the server, or a proxy's password.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate is not trusted"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the server's name cannot be resolved"
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	case ok && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	}
	return "no proper answer came"
}
