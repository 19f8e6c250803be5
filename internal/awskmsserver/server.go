// Package awskmsserver is a key service on loopback for tests. It implements the
// operations Encrypt and Decrypt of AWS KMS (JSON over HTTP, awsJson1_1) with AES-GCM,
// written from the public API reference. Faults make it fail.
//
//	server := awskmsserver.New(t)
//	arn := server.CreateKey("eu-central-1", "1234abcd")
//	client := server.Client("eu-central-1")
package awskmsserver

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// AccessKeyID is the only access key that the service accepts. It does not check
// signatures, so any secret key is valid.
const AccessKeyID = "AKIDEXAMPLE"

const (
	account      = "111122223333"
	materialSize = 32

	maxPlaintext  = 4096
	maxCiphertext = 6144
)

// magic begins every ciphertext.
const magic = "KMS\x01"

// A State is the state of a key.
type State string

// The states of a key with different responses.
const (
	// Enabled is the state of a usable key, and of a new one.
	Enabled State = "Enabled"
	// Disabled makes requests fail with DisabledException.
	Disabled State = "Disabled"
	// PendingDeletion makes requests fail with KMSInvalidStateException.
	PendingDeletion State = "PendingDeletion"
)

// A Server holds the keys of all regions. A request reaches the keys of the region that
// it is signed for, as if each region had its own server. A Server is safe for
// concurrent use.
type Server struct {
	http *httptest.Server

	mu       sync.Mutex
	keys     map[string]*key // by ARN
	fault    Fault
	requests []Request
}

type key struct {
	id    string
	state State
	*material
}

// material is shared by the replicas of a key.
type material struct {
	current string
	ciphers map[string]cipher.AEAD // by key material ID, including earlier ones
}

// A Request is a request of a client. It has the fields of the body that the operation
// uses; the others are zero.
type Request struct {
	// Operation is "Encrypt" or "Decrypt".
	Operation string `json:"-"`
	// Region is the region of the signature, or empty without a valid one.
	Region string `json:"-"`
	// KeyID is the ARN of the key.
	KeyID string `json:"KeyId"`
	// Plaintext is the data to encrypt.
	Plaintext []byte
	// CiphertextBlob is the data to decrypt.
	CiphertextBlob []byte
	// EncryptionContext is the context that the ciphertext is bound to.
	EncryptionContext map[string]string
}

// New starts a server that stops at the end of t.
func New(t testing.TB) *Server {
	s := &Server{keys: make(map[string]*key)}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.http.Close)
	return s
}

// Address returns the host and port of the server. It uses HTTP without TLS.
func (s *Server) Address() string { return s.http.Listener.Addr().String() }

// Client returns the SDK's client for a region. It makes three attempts, like the default
// of the SDK, but without a pause.
func (s *Server) Client(region string) *kms.Client {
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: "a-secret-access-key-of-some-length"}, nil
	})
	return kms.New(kms.Options{
		Region:       region,
		Credentials:  credentials,
		BaseEndpoint: aws.String(s.http.URL),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})
}

// CreateKey makes a key with a key ID of at most 255 bytes and returns its ARN.
func (s *Server) CreateKey(region, id string) string {
	k := &key{id: id, state: Enabled, material: &material{ciphers: make(map[string]cipher.AEAD)}}
	k.rotate()
	return s.add(region, k)
}

// Replicate makes a replica of a key in another region and returns its ARN. It panics if
// the key does not exist.
func (s *Server) Replicate(arn, region string) string {
	s.mu.Lock()
	k := &key{id: s.keys[arn].id, state: Enabled, material: s.keys[arn].material}
	s.mu.Unlock()
	return s.add(region, k)
}

func (s *Server) add(region string, k *key) string {
	arn := fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", region, account, k.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn] = k
	return arn
}

// Rotate gives a key and its replicas new key material. The old material continues to
// decrypt.
func (s *Server) Rotate(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn].rotate()
}

// SetState changes the state of a key, but not that of its replicas.
func (s *Server) SetState(arn string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn].state = state
}

// Requests returns the requests since the last call of Requests.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func (m *material) rotate() {
	secret, id := make([]byte, 32), make([]byte, materialSize)
	rand.Read(secret)
	rand.Read(id)
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	m.current = hex.EncodeToString(id)
	m.ciphers[m.current] = aead
}

// A refusal is an error response. All of them have status 400.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code }

func refuse(code, message string) error { return &refusal{code, message} }

// scope matches the credential of a signature: access key ID, region.
var scope = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]{8}/([^/]+)/kms/aws4_request,`)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in Request
	if err := json.Unmarshal(body, &in); err != nil {
		writeRefusal(w, refuse("SerializationException", "invalid JSON body"))
		return
	}
	in.Operation = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	signature := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if signature != nil {
		in.Region = signature[2]
	}

	s.mu.Lock()
	s.requests = append(s.requests, in)
	fault := s.fault
	s.mu.Unlock()

	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response, err := map[string]any(nil), refuse("UnrecognizedClientException", "unknown access key")
		if signature != nil && signature[1] == AccessKeyID {
			response, err = s.respond(in)
		}
		if err != nil {
			writeRefusal(w, err)
			return
		}
		writeJSON(w, http.StatusOK, response)
	})
	if fault != nil {
		fault(handler, body).ServeHTTP(w, r)
		return
	}
	handler(w, r)
}

func (s *Server) respond(in Request) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch in.Operation {
	case "Encrypt":
		return s.encrypt(in)
	case "Decrypt":
		return s.decrypt(in)
	}
	return nil, refuse("UnknownOperationException", "no such operation")
}

func (s *Server) encrypt(in Request) (map[string]any, error) {
	if n := len(in.Plaintext); in.KeyID == "" || n < 1 || n > maxPlaintext {
		return nil, refuse("ValidationException", "KeyId or Plaintext is outside its limits")
	}
	k, err := s.usable(in.KeyID, in.Region)
	if err != nil {
		return nil, err
	}
	materialID, err := hex.DecodeString(k.current)
	if err != nil {
		panic(err)
	}
	blob := append([]byte(magic), byte(len(k.id)))
	blob = append(blob, k.id...)
	blob = append(blob, materialID...)
	blob = k.ciphers[k.current].Seal(blob, nil, in.Plaintext, bound(blob, in.EncryptionContext))
	return map[string]any{
		"CiphertextBlob":      blob,
		"KeyId":               in.KeyID,
		"EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
	}, nil
}

func (s *Server) decrypt(in Request) (map[string]any, error) {
	if n := len(in.CiphertextBlob); n < 1 || n > maxCiphertext {
		return nil, refuse("ValidationException", "CiphertextBlob is outside its limits")
	}
	keyID, materialID, header, err := parse(in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	if in.KeyID == "" { // the key that the ciphertext names
		in.KeyID = fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", in.Region, account, keyID)
	}
	k, err := s.usable(in.KeyID, in.Region)
	if err != nil {
		return nil, err
	}
	if keyID != k.id {
		return nil, refuse("IncorrectKeyException", "the ciphertext is of another key")
	}
	invalid := refuse("InvalidCiphertextException", "")
	aead, ok := k.ciphers[materialID]
	if !ok {
		return nil, invalid
	}
	plaintext, err := aead.Open(nil, nil, in.CiphertextBlob[len(header):], bound(header, in.EncryptionContext))
	if err != nil {
		return nil, invalid
	}
	return map[string]any{
		"Plaintext":           plaintext,
		"KeyId":               in.KeyID,
		"KeyMaterialId":       materialID,
		"EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
	}, nil
}

// usable returns the key with an ARN if it exists and is enabled.
func (s *Server) usable(arn, region string) (*key, error) {
	if parts := strings.Split(arn, ":"); len(parts) != 6 || parts[3] != region {
		return nil, refuse("NotFoundException", "Invalid arn "+region)
	}
	k, ok := s.keys[arn]
	if !ok {
		return nil, refuse("NotFoundException", fmt.Sprintf("Key '%s' does not exist", arn))
	}
	switch k.state {
	case Disabled:
		return nil, refuse("DisabledException", arn+" is disabled.")
	case PendingDeletion:
		return nil, refuse("KMSInvalidStateException", arn+" is pending deletion.")
	}
	return k, nil
}

// parse splits a ciphertext. The header is the part before the sealed data.
func parse(blob []byte) (keyID, materialID string, header []byte, err error) {
	rest, ok := strings.CutPrefix(string(blob), magic)
	if !ok || len(rest) < 1 || len(rest) < 1+int(rest[0])+materialSize {
		return "", "", nil, refuse("InvalidCiphertextException", "")
	}
	n := int(rest[0])
	keyID = rest[1 : 1+n]
	materialID = hex.EncodeToString([]byte(rest[1+n : 1+n+materialSize]))
	return keyID, materialID, blob[:len(magic)+1+n+materialSize], nil
}

// bound returns the additional data of a ciphertext: its header and the encryption
// context, in an order that does not depend on the client.
func bound(header []byte, c map[string]string) []byte {
	pairs, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	if len(c) == 0 {
		pairs = nil
	}
	return append(header[:len(header):len(header)], pairs...)
}

func writeRefusal(w http.ResponseWriter, err error) {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		panic(err)
	}
	writeJSON(w, http.StatusBadRequest, map[string]any{"__type": r.code, "message": r.message})
}

func writeJSON(w http.ResponseWriter, status int, response map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	// The error means that the client has closed the request.
	_ = json.NewEncoder(w).Encode(response)
}
