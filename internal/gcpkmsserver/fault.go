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

// A Fault answers in place of the service. It may ask the service itself, which
// is next, with the request or another.
type Fault func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error)

// Break makes a fault answer every request, until Break(nil).
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

// Refuse answers with an error code. Its message repeats the request.
func Refuse(code codes.Code) Fault {
	return func(_ context.Context, request any, _ grpc.UnaryHandler) (any, error) {
		return nil, status.Errorf(code, "%v", request)
	}
}

// Times answers with a fault the first times, and with the service after.
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

// Damage changes a request on its way to the service.
func Damage(damage func(*kmspb.EncryptRequest, *kmspb.DecryptRequest)) Fault {
	return func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		encrypt, _ := request.(*kmspb.EncryptRequest)
		decrypt, _ := request.(*kmspb.DecryptRequest)
		damage(encrypt, decrypt)
		return next(ctx, request)
	}
}

// Edit changes the service's own answer: one of the two is not nil.
func Edit(edit func(*kmspb.EncryptResponse, *kmspb.DecryptResponse)) Fault {
	return func(ctx context.Context, request any, next grpc.UnaryHandler) (any, error) {
		answer, err := next(ctx, request)
		if err != nil {
			return nil, err
		}
		encrypt, _ := answer.(*kmspb.EncryptResponse)
		decrypt, _ := answer.(*kmspb.DecryptResponse)
		edit(encrypt, decrypt)
		return answer, nil
	}
}

// Garble answers with bytes that are no answer: a text that is no UTF-8 where a
// name belongs to Encrypt, and a truncated number in Decrypt's.
func Garble(_ context.Context, request any, _ grpc.UnaryHandler) (any, error) {
	if _, ok := request.(*kmspb.EncryptRequest); ok {
		return wrapperspb.Bytes([]byte{0xff, 0xfe}), nil
	}
	answer := &kmspb.DecryptResponse{}
	answer.ProtoReflect().SetUnknown([]byte{0x18}) // a tag with nothing after it
	return answer, nil
}

// Cut closes all connections before there is an answer.
func (s *Server) Cut(context.Context, any, grpc.UnaryHandler) (any, error) {
	s.listener.cut()
	return nil, status.Error(codes.Canceled, "nobody reads this")
}

// Hang does not answer. It sends the context of a request to arrived, and sends
// to gone when its client has given up.
func Hang(arrived chan<- context.Context, gone chan<- struct{}) Fault {
	return func(ctx context.Context, _ any, _ grpc.UnaryHandler) (any, error) {
		arrived <- ctx
		<-ctx.Done()
		gone <- struct{}{}
		return nil, ctx.Err()
	}
}

// listener remembers its connections.
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
		// Closing twice is an error that does no harm.
		_ = conn.Close()
	}
	l.conns = nil
}
