package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
)

// Options say how a file is migrated. The zero value of each field means its
// default.
type Options struct {
	// Bundle is what the runner has now, from the platform or from all of its
	// layers: of those, only what comes from a platform counts. It tells what
	// is there already. Default: that is not known.
	Bundle *bundle.Bundle
	// Include names entries that are secrets, whatever they look like.
	// Default: none.
	Include []string
	// Exclude names entries that stay in the file. Default: none.
	Exclude []string
	// Overwrite names entries whose value takes the place of another one on
	// the platform. It implies Include. Default: none.
	Overwrite []string
}

// Action is what will happen to an entry.
type Action string

const (
	// ActionKeep leaves the entry where it is.
	ActionKeep Action = "keep"
	// ActionMove puts the value into the platform under a name that is not
	// there yet, and removes the lines.
	ActionMove Action = "move"
	// ActionReplace puts the value in the place of the platform's, and removes
	// the lines.
	ActionReplace Action = "replace"
	// ActionRemove removes the lines: the platform has the value.
	ActionRemove Action = "remove"
)

// Plan says what will happen to a file. It holds no value that prints.
type Plan struct {
	Path string `json:"path"`
	// Compared says that what the platform has was known.
	Compared bool `json:"compared"`
	// Items are the entries in the order of the file.
	Items []Item `json:"items"`

	file *File
}

// Item is what will happen to an entry.
type Item struct {
	// Name is empty if what stands there cannot be the name of a secret.
	Name    string `json:"name,omitempty"`
	Line    int    `json:"line"`
	EndLine int    `json:"end_line"`
	Class   Class  `json:"class"`
	Action  Action `json:"action"`
	// Preview is the masked form of the value; see [bundle.Value.Preview]. It
	// is empty if the value is, and for the runner's own lines.
	Preview string `json:"preview,omitempty"`
	// Reason says why the entry is of its class, and Action what it is.
	Reason string `json:"reason"`
	// ByHand says why somebody has to remove the lines. It is empty if Apply
	// does, or if they stay.
	ByHand string `json:"by_hand,omitempty"`

	value bundle.Value
}

// Plan says what will happen to the entries of the file. It sends and changes
// nothing. opts may be nil.
//
// It fails if opts name an entry that the file does not have, or one both to
// be moved and to stay.
func (f *File) Plan(opts *Options) (*Plan, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := f.checkNames(opts); err != nil {
		return nil, err
	}
	p := &Plan{Path: f.Path, Compared: opts.Bundle != nil, file: f}
	for i := range f.Entries {
		p.Items = append(p.Items, f.item(i, opts))
	}
	p.checkCuts()
	return p, nil
}

// checkNames holds the names in opts to those of the file.
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
				return wrong(fmt.Sprintf("entry %d of {%s} is no name in the file", i+1, list.setting), "correct it")
			}
			if list.setting != exclude && slices.Contains(opts.Exclude, name) {
				return wrong(fmt.Sprintf("%s is in {%s} and in {%s}", name, list.setting, exclude), "choose")
			}
		}
	}
	return nil
}

// item decides about one entry.
func (f *File) item(i int, opts *Options) Item {
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
	alone := classify(e)
	is(alone)
	twin, differs := f.twin(i)
	if twin != 0 {
		is(finding{ClassDuplicate, fmt.Sprintf("line %d has the same name and value", twin)})
	}
	if differs {
		item.Reason = fmt.Sprintf("line %d has the same name and another value; remove the wrong one", twin)
		return item
	}
	included := slices.Contains(opts.Include, e.Name)
	overwrite := slices.Contains(opts.Overwrite, e.Name)
	there, same, as := onPlatform(opts.Bundle, e)
	switch {
	case same:
		is(finding{ClassSame, "the platform has this value" + as})
		item.Action = ActionRemove
	case there:
		is(finding{ClassOther, "the platform has another value" + as + "; name it to be overwritten, or remove the line"})
		if overwrite {
			item.Reason, item.Action = "named to be overwritten on the platform", ActionReplace
		}
	case overwrite:
		item.Reason, item.Action = "named to be overwritten on the platform", ActionReplace
	case included:
		item.Reason, item.Action = "named to be moved", ActionMove
	case alone.class == ClassSecret:
		item.Action = ActionMove
	}
	if slices.Contains(opts.Exclude, e.Name) {
		item.Reason, item.Action = "named to stay", ActionKeep
	}
	if item.Action != ActionKeep {
		item.ByHand = e.ByHand
	}
	return item
}

// twin returns the line of another entry with the name of the one at i, or 0.
// Of several, it is one with another value, which differs says.
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

// onPlatform reports whether a runner with this bundle has the name of an entry
// from a platform, whether with the same value, and if it is not in the
// environment of jobs then how it is delivered.
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
	// The merged bundle of a runner: a local value wins, and hides what the
	// platform has.
	for _, shadow := range b.Shadowed() {
		if shadow.Name == e.Name && shadow.Hidden.Provider == platformProvider {
			return true, shadow.Same && s.Value.Equal(e.Value), ""
		}
	}
	return false, false, ""
}

// platformProvider is in the origin of what providers.Platform fetched.
const platformProvider = "bootstrap"

// checkCuts leaves lines to people if the rest of the file would not be read as
// before without them.
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

// misfit says why lines that could be cut out are not.
const misfit = "the rest of the file would not be read as before"

// Empty reports whether nothing will happen.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Items, func(item Item) bool { return item.Action != ActionKeep })
}

// String returns the plan for people: a line for each entry, in columns, and
// what it comes to. It has names and previews, and no values.
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
			name = "(not a name)"
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
		out += "\nIt is not known what the platform has: nothing was compared."
	}
	return out
}

// lineRange returns lines for people, such as "3" or "3-7".
func lineRange(from, to int) string {
	if to <= from {
		return strconv.Itoa(from)
	}
	return strconv.Itoa(from) + "-" + strconv.Itoa(to)
}
