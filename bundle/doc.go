// Package bundle holds secrets: one [Secret], an immutable [Bundle] of them,
// and the [Provider] interface of whatever yields one.
//
//	b, err := provider.Fetch(ctx, nil)
//	key, ok := b.Get("ANTHROPIC_API_KEY")
//	log.Print(key)                    // prints a fixed marker for the value
//	use(key.Value.Reveal())           // the only way to read it
//
// Start with [Bundle] and [Merge]. Merge lays bundles over each other and
// remembers, for every name, which layer won and what it hid; see
// [Bundle.Trace] and [Bundle.Shadowed].
//
// A [Value] does not print: no fmt verb, logger, encoder or debugger dump of
// the types in this package shows what it holds.
package bundle
