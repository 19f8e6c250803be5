// Package audittest checks audit sinks: [Run] holds an implementation of
// [audit.Sink] to each sentence of its contract, one subtest a sentence.
//
//	func TestSink(t *testing.T) {
//		audittest.Run(t, func(t *testing.T) (audit.Sink, func() ([]audittest.Record, error)) { return open(t) })
//	}
package audittest
