package main

import (
	"fmt"
	"time"

	"github.com/satchelhq/satchel/internal/text"
)

// event is a line of serve's output.
type event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // online, started, output, ended, changed, state, offline
	Job     string    `json:"job,omitempty"`
	Text    string    `json:"text,omitempty"`
	Code    *int      `json:"code,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
}

// say prints an event, as a line of JSON with --json. If that fails, the pool ends.
func (w *workers) say(e event) { _ = w.tell(e) }

// tell is say, and returns the error too.
func (w *workers) tell(e event) error {
	err := w.print(e)
	if err != nil {
		w.lost(err)
	}
	return err
}

func (w *workers) print(e event) (err error) {
	w.printing.Lock()
	defer w.printing.Unlock()
	job := text.Line(e.Job)
	if w.json {
		e.Time = time.Now().UTC()
		return printLine(w.out, e)
	}
	switch {
	case e.Event == "output":
		_, err = fmt.Fprintf(w.out, "[%s] %s\n", job, e.Text)
	case e.Job == "":
		_, err = fmt.Fprintf(w.out, "%s: %s\n", w.paint(w.out, bold, e.Event), text.Printable(e.Text))
	case e.Code == nil:
		_, err = fmt.Fprintf(w.out, "%s %s: %s\n", w.paint(w.out, bold, e.Event), job, text.Printable(e.Text))
	default:
		code := fmt.Sprintf("code %d after %.1fs", *e.Code, e.Seconds)
		if e.Text != "" {
			code += ": " + e.Text
		}
		color := green
		if *e.Code != 0 {
			color = red
		}
		_, err = fmt.Fprintf(w.out, "%s %s: %s\n", w.paint(w.out, bold, e.Event), job, w.paint(w.out, color, text.Printable(code)))
	}
	return err
}
