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

// ApplyOptions configures [Plan.Apply]. The zero value of each field means its
// default.
type ApplyOptions struct {
	// Fetch returns the runner's current bundle from the platform, as
	// providers.Platform.Fetch does. It is called once, after the uploads. A line is
	// then removed only if the bundle has its value. Default: Apply relies on the
	// platform's response to each upload and on Options.Bundle.
	Fetch func(context.Context) (*bundle.Bundle, error)
	// Progress is called after each upload with its outcome. The outcome is not
	// final, because the lines are removed later. Default: no call.
	Progress func(Outcome)
}

// Status is the result for an entry.
type Status string

const (
	// StatusUploaded means that the platform has the value, and the lines are still in
	// the file.
	StatusUploaded Status = "uploaded"
	// StatusMoved means that the platform has the value, and the lines were removed.
	StatusMoved Status = "moved"
	// StatusByHand means that the platform has the value, and the lines must be
	// removed by hand.
	StatusByHand Status = "by hand"
	// StatusKept means that the lines are in the file as before.
	StatusKept Status = "kept"
)

// Outcome is the result for an entry.
type Outcome struct {
	// Name is the name of the secret.
	Name string `json:"name"`
	// Line is the first line of the entry, counted from 1, before any removal.
	Line int `json:"line"`
	// EndLine is the last line of the entry.
	EndLine int `json:"end_line"`
	// Status is the entry's result.
	Status Status `json:"status"`
	// Detail gives the reason and the next step. It may be empty, and holds no value.
	Detail string `json:"detail,omitempty"`
}

// Result is the result for a file.
type Result struct {
	// Path is the path of the plan.
	Path string `json:"path"`
	// Outcomes has one element for each entry that was not planned to be kept, in
	// the order of the file.
	Outcomes []Outcome `json:"outcomes"`
	// Backup is the path of the file with the old content. It is empty if the file
	// was not changed.
	Backup string `json:"backup,omitempty"`
}

// Apply uploads the secrets of a plan to the platform, verifies them there, and
// rewrites the file without their lines. It overwrites another value on the platform
// only for the names in Options.Overwrite. opts may be nil.
//
// The file is replaced atomically by one with the same permissions and owner. Its old
// content is kept beside it in a file that only its owner can read. A symbolic link
// stays, and its target is rewritten. Apply refuses a file that has changed since it
// was read, or that has several hard links.
//
// After an error the file is unchanged, or lacks only lines whose values are verified
// to be on the platform; the result, which is never nil, has the details. To finish,
// read, plan and apply again: with a bundle, values that were uploaded are then
// recognized. Errors wrap those of ctx, of the Uploader, of Fetch and of package os.
// They hold no value.
func (p *Plan) Apply(ctx context.Context, to Uploader, opts *ApplyOptions) (*Result, error) {
	if opts == nil {
		opts = &ApplyOptions{}
	}
	result := &Result{Path: p.Path}
	switch {
	case p.file == nil:
		return result, errors.New("applying a migration: the plan was not made by File.Plan; call that")
	case to == nil:
		return result, errors.New("applying a migration: the Uploader is nil; see To")
	}
	a := &application{plan: p, to: to, opts: opts, names: map[string]*fate{}}
	for _, item := range p.Items {
		if item.Action != ActionKeep && a.names[item.Name] == nil {
			a.names[item.Name] = &fate{value: item.value, detail: "not tried; run the migration again"}
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

// fate is the state of a name during Apply.
type fate struct {
	value bundle.Value
	// there is true if the platform has the value. If open is set, only the runner's
	// bundle can tell.
	there, open bool
	detail      string
}

// upload stores the values of the plan, until an upload fails.
func (a *application) upload(ctx context.Context) error {
	done := map[string]bool{}
	for _, item := range a.plan.Items {
		f := a.names[item.Name]
		if item.Action == ActionKeep || done[item.Name] {
			continue
		}
		done[item.Name] = true
		if item.Action == ActionRemove {
			f.there, f.detail = true, "the platform already had it"
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.store(ctx, item, f); err != nil {
			f.detail = "the upload failed; run the migration again"
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

// store uploads one value.
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
		f.detail = "the platform's response shows another value; check it on the platform"
		return nil
	}
	f.there, f.detail = true, fmt.Sprintf("version %d", got.Version)
	return nil
}

// explainCollision sets the detail of f after a name was found to exist.
func (a *application) explainCollision(ctx context.Context, item Item, f *fate) error {
	got, exists, err := a.to.Lookup(ctx, item.Name)
	if err != nil {
		return err
	}
	switch {
	case !exists || item.Action == ActionReplace:
		f.detail = "conflicting concurrent write; run the migration again"
	case got.Hidden:
		f.detail = "a tombstone hides the name on the platform; delete the tombstone first"
	case got.Preview != f.value.Preview():
		f.detail = "the platform has another value; choose to overwrite it, or remove the line"
	default:
		// The previews are equal, but the values may differ.
		f.open = true
		f.detail = "the platform has a value with the same preview; compare with the runner's bundle, or choose to overwrite it"
	}
	return nil
}

// compare verifies uploaded values in the runner's bundle.
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
			f.there, f.detail = false, "not compared with the runner's bundle; run the migration again"
			continue
		}
		there, same, _ := onPlatform(b, Entry{Name: name, Value: f.value})
		switch {
		case same:
			f.there = true
			if f.open {
				f.detail = "the platform already had it"
			}
		case there:
			f.there, f.detail = false, "the runner gets another value from the platform; check the scopes nearer to the runner"
		default:
			f.there, f.detail = false, "the runner does not get it from the platform; check the scope of the runner's token"
		}
	}
	if err != nil {
		return fmt.Errorf("fetching the runner's bundle: %w", err)
	}
	return nil
}

// rewrite removes the lines of values on the platform, and records the outcome of
// each entry in result.
func (a *application) rewrite(result *Result) error {
	var cut []int
	for i, item := range a.plan.Items {
		if f := a.names[item.Name]; item.Action != ActionKeep && f != nil && f.there && item.ByHand == "" {
			cut = append(cut, i)
		}
	}
	// If fewer lines are removed than planned, some may no longer be removable.
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
				result.Outcomes[i].Status, result.Outcomes[i].Detail = StatusUploaded, "the file was not rewritten; run the migration again"
			}
		}
	}
	return err
}

// Remaining reports whether lines that were planned to be removed are still in the
// file.
func (r *Result) Remaining() bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Status != StatusMoved })
}

// String returns a table with a line for each entry, and the path of the backup. It
// holds no values.
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
	out := text.Columns(rows) + fmt.Sprintf("%s: %d of %d removed from the file", r.Path, moved, len(r.Outcomes))
	if r.Backup != "" {
		out += fmt.Sprintf("\nThe old content is in %s. Delete it when the runner works without it.", r.Backup)
	}
	return out
}
