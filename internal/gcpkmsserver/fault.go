package gcpkmsserver

import (
	"context"
	"net"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A Fault responds in place of the service. It may call the service, which is next, with
// this request or another.
type Fault func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error)

// Break makes f respond to every request until Break(nil).
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *Server) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	s.requests = append(s.requests, proto.Clone(request.(proto.Message)))
	fault := s.fault
	s.mu.Unlock()
	if fault != nil {
		return fault(ctx, request, next)
	}
	return next(ctx, request)
}

// Refuse responds with an error code. The message repeats the request.
func Refuse(code codes.Code) Fault {
	return func(_ context.Context, request any, _ grpc.UnaryHandler) (any, error) {
		return nil, status.Errorf(code, "%v", request)
	}
}

// Times responds with fault n times, and with the service after that.
func Times(n int, fault Fault) Fault {
	var mu sync.Mutex
	return func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		mu.Lock()
		broken := n > 0
		n--
		mu.Unlock()
		if broken {
			return fault(ctx, request, next)
		}
		return next(ctx, request)
	}
}

// Damage changes a request on its way to the service. One of its arguments is nil.
func Damage(damage func(*kmspb.EncryptRequest, *kmspb.DecryptRequest)) Fault {
	return func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		encrypt, _ := request.(*kmspb.EncryptRequest)
		decrypt, _ := request.(*kmspb.DecryptRequest)
		damage(encrypt, decrypt)
		return next(ctx, request)
	}
}

// Edit changes a successful response of the service. One of its arguments is nil.
func Edit(edit func(*kmspb.EncryptResponse, *kmspb.DecryptResponse)) Fault {
	return func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		response, err := next(ctx, request)
		if err != nil {
			return nil, err
		}
		encrypt, _ := response.(*kmspb.EncryptResponse)
		decrypt, _ := response.(*kmspb.DecryptResponse)
		edit(encrypt, decrypt)
		return response, nil
	}
}

// Garble is a Fault that sends an invalid response: a name that is not UTF-8 for Encrypt,
// and a truncated number for Decrypt.
func Garble(_ context.Context, request any, _ grpc.UnaryHandler) (any, error) {
	if _, ok := request.(*kmspb.EncryptRequest); ok {
		return wrapperspb.Bytes([]byte{0xff, 0xfe}), nil
	}
	response := &kmspb.DecryptResponse{}
	response.ProtoReflect().SetUnknown([]byte{0x18}) // a tag with nothing after it
	return response, nil
}

// Cut is a Fault that closes all connections before a response.
func (s *Server) Cut(context.Context, any, grpc.UnaryHandler) (any, error) {
	s.listener.cut()
	return nil, status.Error(codes.Canceled, "the connection is closed")
}

// Hang sends no response. It sends the context of a request to arrived, and sends to gone
// after the client has closed the request.
func Hang(arrived chan<- context.Context, gone chan<- struct{}) Fault {
	return func(ctx context.Context, _ any, _ grpc.UnaryHandler) (any, error) {
		arrived <- ctx
		<-ctx.Done()
		gone <- struct{}{}
		return nil, ctx.Err()
	}
}

// A listener records its connections.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		// Closing twice is a harmless error.
		_ = conn.Close()
	}
	l.conns = nil
}
