package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
)

// ApplyOptions say how a plan is carried out. The zero value of each field
// means its default.
type ApplyOptions struct {
	// Fetch returns what the runner gets from the platform, as the Fetch of
	// providers.Platform does. A line then goes only if that has its value.
	// It is called once, after the uploads. Default: the platform's answer to
	// each upload counts, and the bundle that the plan was made with.
	Fetch func(context.Context) (*bundle.Bundle, error)
	// Progress is called with each outcome of an upload as it comes, which is
	// not final: the lines are removed later. Default: nothing.
	Progress func(Outcome)
}

// Status says what became of an entry.
type Status string

const (
	// StatusUploaded is in the platform; the lines are still there.
	StatusUploaded Status = "uploaded"
	// StatusMoved is in the platform, and the lines are gone.
	StatusMoved Status = "moved"
	// StatusByHand is in the platform; somebody has to remove the lines.
	StatusByHand Status = "by hand"
	// StatusKept is in the file as before.
	StatusKept Status = "kept"
)

// Outcome is what became of an entry.
type Outcome struct {
	Name    string `json:"name"`
	Line    int    `json:"line"`
	EndLine int    `json:"end_line"`
	Status  Status `json:"status"`
	// Detail says why, and what to do. It may be empty.
	Detail string `json:"detail,omitempty"`
}

// Result is what became of a file.
type Result struct {
	Path string `json:"path"`
	// Outcomes are of the entries that were not to be kept, in the order of
	// the file.
	Outcomes []Outcome `json:"outcomes"`
	// Backup is the file that has what the file had. It is empty if the file
	// was left as it was.
	Backup string `json:"backup,omitempty"`
}

// Apply puts the secrets of a plan into the platform, makes sure that they are
// there, and rewrites the file without their lines; see [Options] for what it
// overwrites there. opts may be nil.
//
// The file is replaced in one step, by one with the same permissions and owner,
// and its old content is kept beside it in a file that its owner alone may
// read. Symbolic links stay, and what they lead to is rewritten. A file that has
// changed since it was read is refused.
//
// After an error the file is as it was, or without what is known to be in the
// platform; the result says which, and is never nil. Reading, planning and
// applying again does the rest: an upload that took place is then found to be
// there with the same value, if a bundle tells so.
func (p *Plan) Apply(ctx context.Context, to Uploader, opts *ApplyOptions) (*Result, error) {
	if opts == nil {
		opts = &ApplyOptions{}
	}
	result := &Result{Path: p.Path}
	switch {
	case p.file == nil:
		return result, errors.New("applying a migration: the plan is not one of File.Plan; make it with that")
	case to == nil:
		return result, errors.New("applying a migration: there is no Uploader; see To")
	}
	a := &application{plan: p, to: to, opts: opts, names: map[string]*fate{}}
	for _, item := range p.Items {
		if item.Action != ActionKeep && a.names[item.Name] == nil {
			a.names[item.Name] = &fate{value: item.value, detail: "not tried; run it again"}
		}
	}
	err := p.file.check()
	if err != nil {
		for _, f := range a.names {
			f.detail = "not tried: " + err.Error()
		}
	} else {
		err = a.upload(ctx)
		if fetchErr := a.compare(ctx); err == nil {
			err = fetchErr
		}
	}
	rewriteErr := a.rewrite(result)
	if err == nil {
		err = rewriteErr
	}
	if err != nil {
		return result, fmt.Errorf("migrating %s: %w", p.Path, err)
	}
	return result, nil
}

// application is one call of Apply.
type application struct {
	plan  *Plan
	to    Uploader
	opts  *ApplyOptions
	names map[string]*fate
}

// fate is what becomes of a name.
type fate struct {
	value bundle.Value
	// there says that the platform has the value. If open is set, only what
	// the runner gets can tell.
	there, open bool
	detail      string
}

// upload stores what is to be stored, until something fails.
func (a *application) upload(ctx context.Context) error {
	done := map[string]bool{}
	for _, item := range a.plan.Items {
		f := a.names[item.Name]
		if item.Action == ActionKeep || done[item.Name] {
			continue
		}
		done[item.Name] = true
		if item.Action == ActionRemove {
			f.there, f.detail = true, "the platform had it"
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.store(ctx, item, f); err != nil {
			f.detail = "the upload failed; run it again"
			return err
		}
		if a.opts.Progress != nil {
			out := Outcome{Name: item.Name, Line: item.Line, EndLine: item.EndLine, Status: StatusUploaded}
			if !f.there {
				out.Status, out.Detail = StatusKept, f.detail
			}
			a.opts.Progress(out)
		}
	}
	return nil
}

// store puts one value into the platform.
func (a *application) store(ctx context.Context, item Item, f *fate) error {
	var got Stored
	var exists bool
	var err error
	if item.Action == ActionReplace {
		got, exists, err = a.to.Lookup(ctx, item.Name)
		if err != nil {
			return err
		}
	}
	if exists {
		got, err = a.to.Replace(ctx, item.Name, f.value, got.Version)
	} else {
		got, err = a.to.Create(ctx, item.Name, f.value)
	}
	if errors.Is(err, ErrExists) {
		return a.explainCollision(ctx, item, f)
	}
	if err != nil {
		return err
	}
	if got.Version < 1 || got.Hidden || got.Preview != f.value.Preview() {
		f.detail = "the platform's answer shows another value; look at it there"
		return nil
	}
	f.there, f.detail = true, fmt.Sprintf("version %d", got.Version)
	return nil
}

// explainCollision says what is there in place of a value.
func (a *application) explainCollision(ctx context.Context, item Item, f *fate) error {
	got, exists, err := a.to.Lookup(ctx, item.Name)
	if err != nil {
		return err
	}
	switch {
	case !exists || item.Action == ActionReplace:
		f.detail = "somebody else wrote it at the same time; run it again"
	case got.Hidden:
		f.detail = "a tombstone hides the name on the platform; delete that first"
	case got.Preview != f.value.Preview():
		f.detail = "the platform has another value; name it to be overwritten, or remove the line"
	default:
		// The same value or one that looks like it.
		f.open = true
		f.detail = "the platform has a value that looks the same; compare with the runner's bundle, or name it to be overwritten"
	}
	return nil
}

// compare makes sure that the runner gets what is there.
func (a *application) compare(ctx context.Context) error {
	pending := false
	for _, f := range a.names {
		pending = pending || f.there || f.open
	}
	if a.opts.Fetch == nil || !pending {
		return nil
	}
	b, err := a.opts.Fetch(ctx)
	for name, f := range a.names {
		if !f.there && !f.open {
			continue
		}
		if err != nil {
			f.there, f.detail = false, "not compared with what the runner gets; run it again"
			continue
		}
		there, same, _ := onPlatform(b, Entry{Name: name, Value: f.value})
		switch {
		case same:
			f.there = true
			if f.open {
				f.detail = "the platform had it"
			}
		case there:
			f.there, f.detail = false, "the runner gets another value from the platform; look at the scopes nearer to it"
		default:
			f.there, f.detail = false, "the runner does not get it from the platform; look at the scope of its token"
		}
	}
	if err != nil {
		return fmt.Errorf("fetching what the runner gets: %w", err)
	}
	return nil
}

// rewrite removes the lines of what is there, and says in result what became of
// every name.
func (a *application) rewrite(result *Result) error {
	var cut []int
	for i, item := range a.plan.Items {
		if f := a.names[item.Name]; item.Action != ActionKeep && f != nil && f.there && item.ByHand == "" {
			cut = append(cut, i)
		}
	}
	// Less may go than was planned, and then not all of it fits.
	misfits := a.plan.file.misfits(cut)
	cut = slices.DeleteFunc(cut, func(i int) bool { return slices.Contains(misfits, i) })
	for i, item := range a.plan.Items {
		f := a.names[item.Name]
		if item.Action == ActionKeep || f == nil {
			continue
		}
		out := Outcome{Name: item.Name, Line: item.Line, EndLine: item.EndLine, Status: StatusKept, Detail: f.detail}
		switch {
		case slices.Contains(cut, i):
			out.Status = StatusMoved
		case f.there:
			out.Status = StatusByHand
			out.Detail = fmt.Sprintf("remove line %s of %s by hand: %s", lineRange(item.Line, item.EndLine), a.plan.Path, cmp.Or(item.ByHand, misfit))
		}
		result.Outcomes = append(result.Outcomes, out)
	}
	if len(cut) == 0 {
		return nil
	}
	var err error
	result.Backup, err = a.plan.file.rewrite(cut)
	if err != nil {
		for i, out := range result.Outcomes {
			if out.Status == StatusMoved {
				result.Outcomes[i].Status, result.Outcomes[i].Detail = StatusUploaded, "the file was not rewritten; run it again"
			}
		}
	}
	return err
}

// Remaining reports whether an entry that was to go is still in the file.
func (r *Result) Remaining() bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Status != StatusMoved })
}

// String returns the result for people: a line for each entry, in columns, and
// where the backup is. It holds no values.
func (r *Result) String() string {
	if len(r.Outcomes) == 0 {
		return r.Path + ": nothing to do"
	}
	rows := [][]string{{"LINE", "NAME", "STATUS", "DETAIL"}}
	var moved int
	for _, o := range r.Outcomes {
		if o.Status == StatusMoved {
			moved++
		}
		rows = append(rows, []string{lineRange(o.Line, o.EndLine), o.Name, string(o.Status), o.Detail})
	}
	out := text.Columns(rows) + fmt.Sprintf("%s: %d of %d gone from the file", r.Path, moved, len(r.Outcomes))
	if r.Backup != "" {
		out += fmt.Sprintf("\nWhat it held is in %s. Delete that when the runner works without.", r.Backup)
	}
	return out
}
