package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
)

// A contender is one way to keep secrets sealed under a key in a key service.
type contender struct {
	name string
	// seal seals plaintexts, and returns a function that makes readers.
	seal func(plaintexts [][]byte, s *service) (newReader func() (reader, error), err error)
	// asks returns the number of key-service calls that a reader without a cache
	// makes for n messages. It is nil if the contender has no key service.
	asks func(n int) int
}

// A reader opens all messages. It passes each plaintext to got, which may be nil;
// the bytes are valid until got returns. Its first call has nothing cached.
type reader func(got func(i int, plaintext []byte)) error

// A service simulates a key service: it counts calls and delays each one. The key
// is in memory.
type service struct {
	delay time.Duration
	calls atomic.Int64
}

// call counts and delays an unwrapping. Without a delay it returns immediately.
func (s *service) call(ctx context.Context) error {
	s.calls.Add(1)
	if s.delay == 0 {
		return nil
	}
	select {
	case <-time.After(s.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var contenders = []contender{
	{name: rawName, seal: sealRaw(nil, cipherOnce)},
	{name: "raw AES-256-GCM with the associated data of Satchel", seal: sealRaw(associatedData, cipherOnce)},
	{name: "raw AES-256-GCM, cipher built for each message", seal: sealRaw(nil, cipherEach)},
	{name: "Satchel", seal: sealSatchel, asks: once},
	{name: "Satchel, with the group at hand", seal: sealSatchelGroup},
	{name: "Tink KMSEnvelopeAEAD", seal: sealTink, asks: each},
	{name: "go-kms-wrapping envelope", seal: sealWrapping, asks: each},
	{name: "gocloud localsecrets", seal: sealGocloud},
}

func once(int) int { return 1 }

func each(n int) int { return n }

// plaintexts returns n of size bytes, all different.
func plaintexts(n, size int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, size)
		binary.BigEndian.PutUint64(all[i], uint64(i+1))
	}
	return all
}

func secretName(i int) string { return fmt.Sprintf("SECRET_%02d", i) }

// associatedData returns the associated data of a message of Satchel: a header of
// 54 bytes and the encoded name and version.
func associatedData(i int) []byte {
	aad := make([]byte, 54, 128)
	aad = append(aad, 0, 2)
	for _, part := range []string{"name", secretName(i), "version", "7"} {
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(part)))
		aad = append(aad, part...)
	}
	return aad
}
