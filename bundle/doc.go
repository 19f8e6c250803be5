// Package bundle defines secrets: a single [Secret], an immutable [Bundle] of
// them, and the [Provider] interface that sources of bundles implement.
//
//	b, err := provider.Fetch(ctx, nil)
//	key, ok := b.Get("ANTHROPIC_API_KEY")
//	log.Print(key)                    // prints a fixed marker for the value
//	use(key.Value.Reveal())           // the only way to read it
//
// Start with [Bundle] and [Merge]. Merge combines bundles in layers and
// records, for every name, which layer won and which values it shadows; see
// [Bundle.Trace] and [Bundle.Shadowed].
//
// A [Value] does not print itself: no fmt verb, logger, encoder or reflective
// dump of the types in this package shows its content.
package bundle
