// Package awskmsserver is a key service on loopback for tests: Encrypt and
// Decrypt as AWS KMS speaks them (JSON over HTTP, awsJson1_1), written from its
// public API reference, with AES-GCM behind them. It can be told to fail.
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

// AccessKeyID is the one access key that the service knows. Signatures are not
// checked, so any secret goes with it.
const AccessKeyID = "AKIDEXAMPLE"

const (
	account      = "111122223333"
	materialSize = 32

	maxPlaintext  = 4096
	maxCiphertext = 6144
)

// magic begins every ciphertext.
const magic = "KMS\x01"

// A State is what a key can be in.
type State string

// The states of a key that differ in how the service answers.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

// A Server holds keys of all regions. A request reaches the keys of the region
// that it is signed for, as if each region had a server of its own.
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
	ciphers map[string]cipher.AEAD // by key material id, all there have been
}

// A Request is what a client asked for.
type Request struct {
	Operation         string `json:"-"` // "Encrypt" or "Decrypt"
	Region            string `json:"-"`
	KeyID             string `json:"KeyId"`
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

// New starts a server that ends with t.
func New(t testing.TB) *Server {
	s := &Server{keys: make(map[string]*key)}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.http.Close)
	return s
}

// Address returns the host and port of the server, which speaks plain HTTP.
func (s *Server) Address() string { return s.http.Listener.Addr().String() }

// Client returns the SDK's client for a region. It tries three times as the
// SDK's default does, and does not wait in between.
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

// CreateKey makes a key and returns its ARN.
func (s *Server) CreateKey(region, id string) string {
	k := &key{id: id, state: Enabled, material: &material{ciphers: make(map[string]cipher.AEAD)}}
	k.rotate()
	return s.add(region, k)
}

// Replicate makes a replica of a key in another region and returns its ARN.
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

// Rotate gives a key and its replicas new material. The old goes on decrypting.
func (s *Server) Rotate(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn].rotate()
}

// SetState changes the state of a key, and not that of its replicas.
func (s *Server) SetState(arn string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn].state = state
}

// Requests returns what clients have asked for since the last call.
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

// refusal is an error answer; all that this server gives have status 400.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code }

func refuse(code, message string) error { return &refusal{code, message} }

// scope matches the credential of a signature: access key id, region.
var scope = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]{8}/([^/]+)/kms/aws4_request,`)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in Request
	if err := json.Unmarshal(body, &in); err != nil {
		writeRefusal(w, refuse("SerializationException", "the body is no JSON of this operation"))
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
		answer, err := map[string]any(nil), refuse("UnrecognizedClientException", "the access key is not known")
		if signature != nil && signature[1] == AccessKeyID {
			answer, err = s.answer(in)
		}
		if err != nil {
			writeRefusal(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
	if fault != nil {
		fault(handler, body).ServeHTTP(w, r)
		return
	}
	handler(w, r)
}

func (s *Server) answer(in Request) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch in.Operation {
	case "Encrypt":
		return s.encrypt(in)
	case "Decrypt":
		return s.decrypt(in)
	}
	return nil, refuse("UnknownOperationException", "there is no such operation")
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

// usable returns the key with an ARN if it is there and enabled.
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

// parse takes a ciphertext apart. The header is all before what is sealed.
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

// bound is what a ciphertext is bound to besides its key: its header and the
// encryption context, in an order that does not depend on the client.
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

func writeJSON(w http.ResponseWriter, status int, answer map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	// A client that has gone is its own affair.
	_ = json.NewEncoder(w).Encode(answer)
}
