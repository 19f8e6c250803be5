package satchel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/valuecheck"
)

// checkTimeout is how long one layer may take to be checked.
const checkTimeout = time.Minute

// Check reports whether a runner with these layers is ready for work, and how to
// fix it if not. Show the report to people before a runner goes online; see
// [Report.String].
//
// A layer that is a [bundle.Checker] checks itself; any other layer is fetched
// once, so no layer makes more than one fetch. Layers are checked concurrently,
// and a layer that takes longer than a minute fails. Check returns when all of
// these calls have returned, and starts nothing that outlives it.
//
// The report has the items of the layers in their order, then an item for each of
// names, the secrets that the program needs, as in [Options.Require], then a
// warning for each value that shadows one of an earlier layer, then a warning for each
// value that is not from a platform and has a reference such as ${OTHER}, which a job
// would get as this text. Items contain no values. A secret that a layer reports as
// missing, such as one that a platform requires, is a failure if no other layer has it
// and a retry cannot help.
func Check(ctx context.Context, layers []bundle.Provider, names ...string) Report {
	var r Report
	given := slices.DeleteFunc(slices.Clone(layers), isNil)
	if nils := len(layers) - len(given); nils > 0 {
		r.fail("layers", fmt.Sprintf("%d of %d are nil", nils, len(layers)), "remove them")
	}
	named, err := newLayers(given)
	if err != nil {
		panic(fmt.Sprintf("satchel: layers without nil are invalid: %v", err))
	}
	reports := make([]Report, len(named))
	var group sync.WaitGroup
	for i, l := range named {
		group.Go(func() { reports[i] = checkLayer(ctx, l) })
	}
	group.Wait()

	var bundles []*bundle.Bundle
	for _, layer := range reports {
		r.Items = append(r.Items, layer.Items...)
		bundles = append(bundles, layer.Bundle)
	}
	r.Bundle = bundle.Merge(bundles...)
	complete := r.OK()
	for i, name := range names {
		if !slices.Contains(names[:i], name) {
			r.require(name, complete)
		}
	}
	for _, p := range r.Bundle.Problems() {
		if p.Name != "" && !p.Retryable && !slices.Contains(names, p.Name) {
			r.lacks(p, complete)
		}
	}
	r.shadows()
	r.doubts()
	return r
}

// checkLayer examines one layer.
func checkLayer(ctx context.Context, l *layer) Report {
	var r Report
	var told int // number of problems that already have an item
	if checker, ok := l.provider.(bundle.Checker); ok {
		bounded, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		r.Bundle, r.Items = checker.Check(bounded)
		told = len(r.Bundle.Problems())
	} else {
		b, err := fetchWithin(ctx, checkTimeout, l.provider, nil)
		switch {
		case err != nil:
			r.Items = append(r.Items, bundle.CheckItem{Name: l.name, Status: bundle.CheckFailed, Detail: err.Error(), Fix: afterFailure(kindOf(err)), Err: err})
			return r
		case b.Len() > 0 || len(b.Problems()) == 0:
			r.ok(l.name, fmt.Sprintf("secrets: %d", b.Len()))
		}
		r.Bundle = b
	}
	r.Bundle, _ = liveAt(r.Bundle, time.Now())
	for _, p := range r.Bundle.Problems()[told:] {
		name, detail := "secret "+p.Name, p.Explain()
		if p.Name == "" {
			name, detail = p.Origin.String(), p.Reason
		}
		fix := "fix it at its origin; it does not resolve itself"
		if p.Retryable {
			fix = "it may resolve itself; if it persists, fix it at its origin"
		}
		r.warn(name, detail, fix)
	}
	return r
}

// afterFailure returns the fix for a failure of that kind.
func afterFailure(kind bundle.FetchKind) string {
	switch kind {
	case bundle.FetchPermanent:
		return "fix this first; retrying does not help"
	case bundle.FetchRevoked:
		return "get new credentials: the source has revoked these"
	}
	return "check that the source is reachable, and try again"
}

const addIt = "add it on the platform, or to a local layer"

// lacks turns a layer's warning about a missing secret into a failure if no other
// layer has the secret. Without a warning, it adds the failure.
func (r *Report) lacks(p bundle.Problem, complete bool) {
	if _, ok := r.Bundle.Get(p.Name); ok {
		return
	}
	told := false
	for i := range r.Items {
		item := &r.Items[i]
		if item.Name != "secret "+p.Name {
			continue
		}
		told = true
		if item.Status == bundle.CheckWarning {
			item.Status, item.Fix = bundle.CheckFailed, addIt
		}
	}
	if !told {
		r.require(p.Name, complete)
	}
}

// require adds the item of a required secret. complete means that no layer failed.
func (r *Report) require(name string, complete bool) {
	item := "secret " + name
	if err := bundle.CheckName(name); err != nil {
		r.fail(item, err.Error(), "correct the name of the required secret")
		return
	}
	if e, ok := errors.AsType[*bundle.MissingError](r.Bundle.Require(name)); ok {
		var reasons []string
		for _, p := range e.Problems {
			reasons = append(reasons, p.Explain())
		}
		switch {
		case reasons != nil:
		case complete:
			reasons = []string{"no layer has it"}
		default:
			reasons = []string{"no reachable layer has it"}
		}
		r.fail(item, strings.Join(reasons, "; "), addIt)
		return
	}
	s, _ := r.Bundle.Get(name)
	if s.Value.Reveal() == "" {
		r.warn(item, "empty, from "+s.Origin.String(), "give it a value, or "+s.Origin.Removal())
		return
	}
	detail := "from " + s.Origin.String()
	if !s.Expires.IsZero() {
		detail += ", expires " + s.Expires.UTC().Format("2006-01-02 15:04 MST")
	}
	r.ok(item, detail)
}

// shadows adds a warning for each name whose value shadows others.
func (r *Report) shadows() {
	all := r.Bundle.Shadowed()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Name == all[0].Name {
			n++
		}
		var hidden []string
		for _, s := range all[:n] {
			which := "another value"
			if s.Same {
				which = "the same value"
			}
			hidden = append(hidden, which+" of "+s.Hidden.String())
		}
		nearest := all[0]
		fix := nearest.Fix() + ", unless the override is intended: updates to the shadowed value have no effect"
		if nearest.Same {
			fix = nearest.Fix() + ": the value stays the same, and updates to the other value take effect"
		}
		r.warn("shadow "+nearest.Name, nearest.Winner.String()+" shadows "+strings.Join(hidden, " and "), fix)
		all = all[n:]
	}
}

// doubts adds a warning for each local value that was probably not meant as it is.
func (r *Report) doubts() {
	for _, d := range valuecheck.Doubts(r.Bundle) {
		r.warn(string(d.Class)+" "+d.Secret.Name, d.Secret.Origin.String()+" "+d.Reason, d.Fix)
	}
}
