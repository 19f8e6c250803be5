package awskmsserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// A Fault responds in place of the service. It may call the service, which is next. body
// is the body of the request.
type Fault func(next http.Handler, body []byte) http.Handler

// Break makes f respond to every request until Break(nil).
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Refuse responds with a status and an error code. The message repeats the request.
func Refuse(status int, code string) Fault {
	return func(_ http.Handler, body []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, status, map[string]any{"__type": code, "message": fmt.Sprintf("%s %q", body, body)})
		})
	}
}

// Respond responds with a status and a text.
func Respond(status int, text string) Fault {
	return func(http.Handler, []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			// The error means that the client has closed the request.
			_, _ = io.WriteString(w, text)
		})
	}
}

// Edit changes the response of the service. It panics if that is not a JSON object.
func Edit(edit func(response map[string]any)) Fault {
	return func(next http.Handler, _ []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, r)
			response := make(map[string]any)
			if err := json.Unmarshal(recorder.Body.Bytes(), &response); err != nil {
				panic(err)
			}
			edit(response)
			writeJSON(w, recorder.Code, response)
		})
	}
}

// Cut is a Fault that closes the connection after it has read the request.
func Cut(http.Handler, []byte) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Hang sends no response. It sends the context of a request to arrived, and sends
// to gone after the client has closed the request.
func Hang(arrived chan<- context.Context, gone chan<- struct{}) Fault {
	return func(http.Handler, []byte) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			arrived <- r.Context()
			<-r.Context().Done()
			gone <- struct{}{}
		})
	}
}
