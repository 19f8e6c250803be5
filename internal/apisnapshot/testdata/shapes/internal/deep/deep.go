// Package deep has what shapes makes public.
package deep

type Fault struct {
	Code   int
	reason string
}

func (f *Fault) Error() string { return f.reason }
func (f *Fault) own() bool     { return f.Code > 0 }
