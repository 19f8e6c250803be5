package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/internal/valuecheck"
)

// Options configures [File.Plan]. The zero value of each field means its default.
type Options struct {
	// Bundle is the runner's current bundle, from the platform or merged from all of
	// its layers; only secrets from a platform count. It shows which values the
	// platform already has. Default: nothing is known about the platform.
	Bundle *bundle.Bundle
	// Include names entries to move although their class is not [ClassSecret]. It has
	// no effect on settings of the runner, unusable values, duplicates with different
	// values, and values that differ from the platform's. Default: none.
	Include []string
	// Exclude names entries to keep in the file. Default: none.
	Exclude []string
	// Overwrite names entries to move even if the platform has another value, which
	// they replace. It implies Include. Default: none.
	Overwrite []string
}

// Action is the planned action for an entry.
type Action string

const (
	// ActionKeep leaves the entry in the file.
	ActionKeep Action = "keep"
	// ActionMove uploads the value under a name that the platform must not have yet,
	// and removes the lines.
	ActionMove Action = "move"
	// ActionReplace uploads the value in place of the platform's, and removes the
	// lines.
	ActionReplace Action = "replace"
	// ActionRemove removes the lines, because the platform has the value.
	ActionRemove Action = "remove"
)

// Plan is the planned migration of a file. Formatting, logging or encoding it shows no
// values.
type Plan struct {
	// Path is the path of the file.
	Path string `json:"path"`
	// Compared is true if Options.Bundle was set.
	Compared bool `json:"compared"`
	// Items has one element for each entry, in the order of the file.
	Items []Item `json:"items"`

	file *File
}

// Item is the planned action for an entry.
type Item struct {
	// Name is the name of the secret. It is empty if the name in the file is invalid.
	Name string `json:"name,omitempty"`
	// Line is the first line of the entry, counted from 1.
	Line int `json:"line"`
	// EndLine is the last line of the entry.
	EndLine int `json:"end_line"`
	// Class is the kind of the entry.
	Class Class `json:"class"`
	// Action is the planned action.
	Action Action `json:"action"`
	// Preview is the masked value; see [bundle.Value.Preview]. It is empty for an
	// empty value and for settings of the runner.
	Preview string `json:"preview,omitempty"`
	// Reason explains Class and Action.
	Reason string `json:"reason"`
	// ByHand is the reason why the lines must be removed by hand. It is empty if
	// Apply removes them, or if they stay.
	ByHand string `json:"by_hand,omitempty"`

	value bundle.Value
}

// Plan returns the planned action for each entry of the file. It sends nothing and
// changes nothing. opts may be nil.
//
// The error wraps a *[bundle.Fault] if opts name an entry that is not in the file, or
// name one in Exclude and also in Include or Overwrite.
func (f *File) Plan(opts *Options) (*Plan, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := f.checkNames(opts); err != nil {
		return nil, err
	}
	p := &Plan{Path: f.Path, Compared: opts.Bundle != nil, file: f}
	known := f.names()
	var references []Entry
	for _, e := range f.Entries {
		if classify(e, known).class == ClassReference {
			references = append(references, e)
		}
	}
	for i := range f.Entries {
		p.Items = append(p.Items, f.item(i, opts, known, references))
	}
	p.checkCuts()
	return p, nil
}

// checkNames checks the names in opts against those of the file.
func (f *File) checkNames(opts *Options) error {
	have := map[string]bool{}
	for _, e := range f.Entries {
		have[e.Name] = e.Name != ""
	}
	const include, exclude, overwrite = "migrate.Options.Include", "migrate.Options.Exclude", "migrate.Options.Overwrite"
	for _, list := range []struct {
		setting string
		names   []string
	}{{include, opts.Include}, {exclude, opts.Exclude}, {overwrite, opts.Overwrite}} {
		wrong := func(problem, fix string) error {
			return fmt.Errorf("planning the migration of %s: %w", f.Path, &bundle.Fault{Problem: problem, Setting: list.setting, Fix: fix})
		}
		for i, name := range list.names {
			if !have[name] {
				// Not quoted: it may be a value.
				return wrong(fmt.Sprintf("entry %d of {%s} is not a name in the file", i+1, list.setting), "correct it")
			}
			if list.setting != exclude && slices.Contains(opts.Exclude, name) {
				return wrong(fmt.Sprintf("%s is in both {%s} and {%s}", name, list.setting, exclude), "remove it from one")
			}
		}
	}
	return nil
}

// item plans one entry. known reports whether a name is in the file, and references are
// the entries that refer to something.
func (f *File) item(i int, opts *Options, known func(name string) bool, references []Entry) Item {
	e := f.Entries[i]
	item := Item{Name: e.Name, Line: e.Line, EndLine: e.EndLine, Action: ActionKeep, value: e.Value}
	is := func(found finding) { item.Class, item.Reason = found.class, found.reason }
	found, settled := fixed(e)
	if e.Value.Reveal() != "" && found.class != ClassRunner {
		item.Preview = e.Value.Preview()
	}
	if settled {
		is(found)
		return item
	}
	included := slices.Contains(opts.Include, e.Name)
	overwrite := slices.Contains(opts.Overwrite, e.Name)
	alone := classify(e, known)
	is(alone)
	if alone.class == ClassReference && !included && !overwrite {
		return item // even if the platform has the same text: other tools may need the line
	}
	twin, differs := f.twin(i)
	if twin != 0 {
		is(finding{ClassDuplicate, fmt.Sprintf("line %d has the same name and value", twin)})
	}
	if differs {
		item.Reason = fmt.Sprintf("line %d has the same name and another value; remove the wrong one", twin)
		return item
	}
	there, same, as := onPlatform(opts.Bundle, e)
	switch {
	case same:
		is(finding{ClassSame, "the platform has this value" + as})
		item.Action = ActionRemove
	case there:
		is(finding{ClassOther, "the platform has another value" + as + "; choose to overwrite it, or remove the line"})
		if overwrite {
			item.Reason, item.Action = "chosen to overwrite the platform's value", ActionReplace
		}
	case overwrite:
		item.Reason, item.Action = "chosen to overwrite the platform's value", ActionReplace
	case included:
		item.Reason, item.Action = "chosen to move", ActionMove
	case alone.class == ClassSecret:
		item.Action = ActionMove
	}
	if slices.Contains(opts.Exclude, e.Name) {
		item.Reason, item.Action = "chosen to stay", ActionKeep
	}
	if item.Action != ActionKeep {
		item.ByHand = e.ByHand
		if line := referring(references, e.Name); line != 0 {
			item.Reason += fmt.Sprintf("; line %d refers to it", line)
		}
	}
	return item
}

// names returns a function that reports whether an entry has a name.
func (f *File) names() func(name string) bool {
	names := map[string]bool{}
	for _, e := range f.Entries {
		names[e.Name] = true
	}
	return func(name string) bool { return names[name] }
}

// referring returns the line of the first of references that refers to name, or 0.
func referring(references []Entry, name string) int {
	for _, e := range references {
		if e.Name != name && valuecheck.RefersTo(e.Value.Reveal(), name) {
			return e.Line
		}
	}
	return 0
}

// twin returns the line of another entry with the same name as the one at i, or 0.
// It prefers an entry with another value, for which differs is true.
func (f *File) twin(i int) (line int, differs bool) {
	e := f.Entries[i]
	for j, other := range f.Entries {
		if j == i || other.Name != e.Name {
			continue
		}
		if other.Fault != "" || !other.Value.Equal(e.Value) {
			return other.Line, true
		}
		if line == 0 {
			line = other.Line
		}
	}
	return line, false
}

// onPlatform reports whether a runner with this bundle gets the name of an entry from
// a platform, and whether with the same value. as describes the delivery if it is not
// the environment.
func onPlatform(b *bundle.Bundle, e Entry) (there, same bool, as string) {
	s, ok := b.Get(e.Name)
	if !ok {
		return false, false, ""
	}
	if s.Origin.Provider == platformProvider || s.Scope != "" {
		if s.Delivery != bundle.DeliverEnv {
			as = fmt.Sprintf(", delivered as %q", s.Delivery)
		}
		return true, s.Value.Equal(e.Value), as
	}
	// In a runner's merged bundle, a local value shadows the platform's.
	for _, shadow := range b.Shadowed() {
		if shadow.Name == e.Name && shadow.Hidden.Provider == platformProvider {
			return true, shadow.Same && s.Value.Equal(e.Value), ""
		}
	}
	return false, false, ""
}

// platformProvider is the origin of secrets from providers.Platform.
const platformProvider = "bootstrap"

// checkCuts sets ByHand for lines without which the rest of the file would be read
// differently.
func (p *Plan) checkCuts() {
	var cut []int
	for i, item := range p.Items {
		if item.Action != ActionKeep && item.ByHand == "" {
			cut = append(cut, i)
		}
	}
	for _, i := range p.file.misfits(cut) {
		p.Items[i].ByHand = misfit
	}
}

// misfit is the reason for keeping lines that could be removed alone.
const misfit = "the rest of the file would be read differently"

// Empty reports whether all entries are kept.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Items, func(item Item) bool { return item.Action != ActionKeep })
}

// String returns a table with a line for each entry, and a summary. It has names and
// previews, but no values.
func (p *Plan) String() string {
	rows := [][]string{{"LINE", "NAME", "CLASS", "ACTION", "PREVIEW", "WHY"}}
	count := map[Action]int{}
	for _, item := range p.Items {
		count[item.Action]++
		why := item.Reason
		if item.ByHand != "" {
			why += "; remove it by hand: " + item.ByHand
		}
		name := item.Name
		if name == "" {
			name = "(invalid name)"
		}
		rows = append(rows, []string{lineRange(item.Line, item.EndLine), name, string(item.Class), string(item.Action), item.Preview, why})
	}
	out := text.Columns(rows)
	var todo []string
	for _, a := range []Action{ActionMove, ActionReplace, ActionRemove, ActionKeep} {
		if n := count[a]; n > 0 {
			todo = append(todo, fmt.Sprintf("%d to %s", n, a))
		}
	}
	if todo == nil {
		return p.Path + " has no entries"
	}
	out += p.Path + ": " + strings.Join(todo, ", ")
	if !p.Compared {
		out += "\nNot compared with the platform: the runner's bundle is not known."
	}
	return out
}

// lineRange formats lines, such as "3" or "3-7".
func lineRange(from, to int) string {
	if to <= from {
		return strconv.Itoa(from)
	}
	return strconv.Itoa(from) + "-" + strconv.Itoa(to)
}
