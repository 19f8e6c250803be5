// Package gcpkmsserver is a key service on loopback for tests. It implements the
// operations Encrypt and Decrypt of Google Cloud KMS (gRPC) with AES-GCM, written from
// the public reference. Faults make it fail.
//
//	server := gcpkmsserver.New(t)
//	name := server.CreateKey("kek")
//	client := server.Client(t)
package gcpkmsserver

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"sync"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const ring = "projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/"

// magic begins every ciphertext. The tag of the key and the number of the version, in 4
// bytes, follow it.
const (
	magic   = "GKM\x01"
	tagSize = 16
	header  = len(magic) + tagSize + 4
)

// A Server holds the keys of one key ring. It is safe for concurrent use.
type Server struct {
	kmspb.UnimplementedKeyManagementServiceServer
	listener *listener

	mu       sync.Mutex
	keys     map[string]*key // by name
	fault    Fault
	requests []proto.Message
}

// A key has versions; the last is the primary.
type key struct {
	tag      []byte
	versions []*version
}

type version struct {
	aead  cipher.AEAD
	state kmspb.CryptoKeyVersion_CryptoKeyVersionState
}

// New starts a server that stops at the end of t.
func New(t testing.TB) *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: &listener{Listener: l}, keys: make(map[string]*key)}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	kmspb.RegisterKeyManagementServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() {
		// The error means that the server was stopped.
		_ = server.Serve(s.listener)
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return s
}

// Address returns the host and port of the server. It uses gRPC without TLS.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Client returns Google's client. It is closed at the end of t.
func (s *Server) Client(t testing.TB) *kms.KeyManagementClient {
	client, err := kms.NewKeyManagementClient(context.Background(),
		option.WithEndpoint("passthrough:///"+s.Address()),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithNoProxy()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// CreateKey makes a key with one version and returns its resource name.
func (s *Server) CreateKey(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &key{tag: random(tagSize)}
	k.rotate()
	s.keys[ring+id] = k
	return ring + id
}

// Rotate adds a primary version to a key. The old versions continue to decrypt.
func (s *Server) Rotate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].rotate()
}

// SetState changes the state of a version. The first version has number 1.
func (s *Server) SetState(name string, number int, state kmspb.CryptoKeyVersion_CryptoKeyVersionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].versions[number-1].state = state
}

// Requests returns copies of the requests since the last call of Requests, each a
// *kmspb.EncryptRequest or *kmspb.DecryptRequest.
func (s *Server) Requests() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func (k *key) rotate() {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	k.versions = append(k.versions, &version{aead: aead, state: kmspb.CryptoKeyVersion_ENABLED})
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Encrypt implements the operation: it encrypts under the primary version. Its errors are
// gRPC statuses like those of Cloud KMS.
func (s *Server) Encrypt(_ context.Context, in *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if err := verify("plaintext", in.Plaintext, in.PlaintextCrc32C); err != nil {
		return nil, err
	}
	aad := in.AdditionalAuthenticatedData
	if err := verify("additional_authenticated_data", aad, in.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(in.Name)
	if err != nil {
		return nil, err
	}
	number := len(k.versions)
	name := fmt.Sprintf("%s/cryptoKeyVersions/%d", in.Name, number)
	primary := k.versions[number-1]
	if err := primary.usable(name); err != nil {
		return nil, err
	}
	ciphertext := append([]byte(magic), k.tag...)
	ciphertext = binary.BigEndian.AppendUint32(ciphertext, uint32(number))
	ciphertext = primary.aead.Seal(ciphertext, nil, in.Plaintext, append(ciphertext[:header:header], aad...))
	return &kmspb.EncryptResponse{
		Name:                    name,
		Ciphertext:              ciphertext,
		CiphertextCrc32C:        checksum(ciphertext),
		VerifiedPlaintextCrc32C: in.PlaintextCrc32C != nil,
		VerifiedAdditionalAuthenticatedDataCrc32C: in.AdditionalAuthenticatedDataCrc32C != nil,
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}, nil
}

// Decrypt implements the operation: it decrypts under the version that encrypted. Its
// errors are gRPC statuses like those of Cloud KMS.
func (s *Server) Decrypt(_ context.Context, in *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if err := verify("ciphertext", in.Ciphertext, in.CiphertextCrc32C); err != nil {
		return nil, err
	}
	aad := in.AdditionalAuthenticatedData
	if err := verify("additional_authenticated_data", aad, in.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(in.Name)
	if err != nil {
		return nil, err
	}
	if len(in.Ciphertext) < header || !bytes.HasPrefix(in.Ciphertext, append([]byte(magic), k.tag...)) {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	number := int(binary.BigEndian.Uint32(in.Ciphertext[header-4:]))
	if number < 1 || number > len(k.versions) {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	v := k.versions[number-1]
	if err := v.usable(fmt.Sprintf("%s/cryptoKeyVersions/%d", in.Name, number)); err != nil {
		return nil, err
	}
	plaintext, err := v.aead.Open(nil, nil, in.Ciphertext[header:], append(in.Ciphertext[:header:header], aad...))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
	}
	return &kmspb.DecryptResponse{
		Plaintext:       plaintext,
		PlaintextCrc32C: checksum(plaintext),
		UsedPrimary:     number == len(k.versions),
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}, nil
}

func (s *Server) key(name string) (*key, error) {
	k, ok := s.keys[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	}
	return k, nil
}

func (v *version) usable(name string) error {
	if v.state != kmspb.CryptoKeyVersion_ENABLED {
		return status.Errorf(codes.FailedPrecondition, "%s is not enabled, current state is: %s.", name, v.state)
	}
	return nil
}

// verify checks a field of a request against its checksum, if that is present.
func verify(field string, data []byte, sum *wrapperspb.Int64Value) error {
	if sum != nil && sum.Value != checksum(data).Value {
		return status.Errorf(codes.InvalidArgument, "The checksum in field %s_crc32c did not match the data in field %s.", field, field)
	}
	return nil
}

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}
