package awskmsserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// A Fault answers in place of the service. It may ask the service itself, which
// is next; body is the body of the request.
type Fault func(next http.Handler, body []byte) http.Handler

// Break makes a fault answer every request, until Break(nil).
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Refuse answers with an error code. Its message repeats the request.
func Refuse(status int, code string) Fault {
	return func(_ http.Handler, body []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, status, map[string]any{"__type": code, "message": fmt.Sprintf("%s %q", body, body)})
		})
	}
}

// Answer answers with a text, whatever was asked.
func Answer(status int, text string) Fault {
	return func(http.Handler, []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			// A client that has gone is its own affair.
			_, _ = io.WriteString(w, text)
		})
	}
}

// Edit changes the service's own answer.
func Edit(edit func(answer map[string]any)) Fault {
	return func(next http.Handler, _ []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, r)
			answer := make(map[string]any)
			if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
				panic(err)
			}
			edit(answer)
			writeJSON(w, recorder.Code, answer)
		})
	}
}

// Cut closes the connection after the request has been read.
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
