// Package audittest checks audit sinks: [Run] tests an implementation of [audit.Sink]
// against each rule of its contract.
//
//	func TestSink(t *testing.T) {
//		audittest.Run(t, func(t *testing.T) (audit.Sink, func() ([]audittest.Record, error)) { return open(t) })
//	}
package audittest
