package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Limits of a key record.
const (
	maxWraps        = 8
	recordFixedSize = 31 // magic, suite, key id, created, number of wraps
	recordMACSize   = 32
	maxRecordSize   = recordFixedSize + recordMACSize +
		maxWraps*(8+maxServiceSize+maxKeySize+maxVersionSize+maxBlobSize)
)

const recordMACInfo = "skr/v1 record mac\x00"

var recordMagic = [6]byte{'S', 'K', 'R', 1, 0, 1}

// A Record is the stored form of a wrapped data key (docs/format.md, "Key record:
// SKR"): its ID, its creation time, and one wrap for each KEK that can open it. It
// contains no secrets. It is bound to its data key and context: [Keyring.OpenKey]
// rejects a record that was changed.
//
// ID, Created and KEKs read a record without a key, so their results are only as
// trustworthy as the source of the record. Their errors wrap [ErrMalformed]. They
// are safe for concurrent use as long as the bytes do not change.
type Record []byte

// ID returns the ID of the data key. Every message sealed under the key contains it.
func (r Record) ID() ([16]byte, error) {
	p, err := parseRecord(r)
	if err != nil {
		return [16]byte{}, err
	}
	return p.id, nil
}

// Created returns the creation time of the data key in UTC, with a precision of one
// second.
func (r Record) Created() (time.Time, error) {
	p, err := parseRecord(r)
	if err != nil {
		return time.Time{}, err
	}
	if p.created > math.MaxInt64 {
		return time.Time{}, fmt.Errorf("key record: %w: creation time out of range", ErrMalformed)
	}
	return time.Unix(int64(p.created), 0).UTC(), nil
}

// KEKs returns the IDs of the KEKs that the record names, in the order of its wraps.
func (r Record) KEKs() ([]KEKID, error) {
	p, err := parseRecord(r)
	if err != nil {
		return nil, err
	}
	ids := make([]KEKID, len(p.wraps))
	for i, w := range p.wraps {
		ids[i] = w.KEK
	}
	return ids, nil
}

// A parsedRecord is the content of a Record. Its blobs point into the record.
type parsedRecord struct {
	id      [16]byte
	created uint64
	wraps   []WrappedKey
	mac     [recordMACSize]byte
}

// body appends the part of the record that the MAC covers.
func (p *parsedRecord) body(dst []byte) []byte {
	dst = append(dst, recordMagic[:]...)
	dst = append(dst, p.id[:]...)
	dst = binary.BigEndian.AppendUint64(dst, p.created)
	dst = append(dst, byte(len(p.wraps)))
	for _, w := range p.wraps {
		dst = appendShort(dst, w.KEK.Service)
		dst = appendShort(dst, w.KEK.Key)
		dst = appendShort(dst, w.Version)
		dst = appendShort(dst, w.Blob)
	}
	return dst
}

// seal returns the record with its MAC under dek. encoded is the encoded context of
// the key.
func (p *parsedRecord) seal(dek, encoded []byte) (Record, error) {
	body := p.body(nil)
	mac, err := recordMAC(dek, body, encoded)
	if err != nil {
		return nil, err
	}
	return append(body, mac[:]...), nil
}

// wrapFor returns the wrap under id, or the first of several.
func (p *parsedRecord) wrapFor(id KEKID) (WrappedKey, bool) {
	for _, w := range p.wraps {
		if w.KEK == id {
			return w, true
		}
	}
	return WrappedKey{}, false
}

// parseRecord parses a record. Every accepted record has exactly one encoding.
func parseRecord(r Record) (*parsedRecord, error) {
	if len(r) < recordFixedSize+recordMACSize {
		return nil, malformedRecord("too short")
	}
	if len(r) > maxRecordSize {
		return nil, malformedRecord("too long")
	}
	if !bytes.HasPrefix(r, recordMagic[:]) {
		return nil, malformedRecord("bad magic")
	}
	p := &parsedRecord{
		id:      [16]byte(r[6:22]),
		created: binary.BigEndian.Uint64(r[22:30]),
		mac:     [recordMACSize]byte(r[len(r)-recordMACSize:]),
	}
	count := int(r[30])
	if count < 1 || count > maxWraps {
		return nil, malformedRecord(fmt.Sprintf("%d wraps, want 1 to %d", count, maxWraps))
	}
	rest := fieldReader{data: r[recordFixedSize : len(r)-recordMACSize]}
	for range count {
		w := WrappedKey{KEK: KEKID{
			Service: string(rest.field(1, maxServiceSize)),
			Key:     string(rest.field(1, maxKeySize)),
		}}
		w.Version = string(rest.field(0, maxVersionSize))
		w.Blob = rest.field(1, maxBlobSize)
		p.wraps = append(p.wraps, w)
	}
	if rest.bad || len(rest.data) != 0 {
		return nil, malformedRecord("invalid field length")
	}
	return p, nil
}

func malformedRecord(problem string) error {
	return fmt.Errorf("key record: %w: %s", ErrMalformed, problem)
}

// A fieldReader reads length-prefixed fields from the front of data. After an invalid
// field it is bad and returns nil.
type fieldReader struct {
	data []byte
	bad  bool
}

func (f *fieldReader) field(least, most int) []byte {
	if f.bad || len(f.data) < 2 {
		f.bad = true
		return nil
	}
	n := int(binary.BigEndian.Uint16(f.data))
	if n < least || n > most || n > len(f.data)-2 {
		f.bad = true
		return nil
	}
	field := f.data[2 : 2+n : 2+n]
	f.data = f.data[2+n:]
	return field
}

// recordMAC commits a record's body and its context to the data key.
func recordMAC(dek, body, encoded []byte) ([recordMACSize]byte, error) {
	return macUnder(dek, recordMACInfo, body, encoded)
}

// macUnder returns HMAC-SHA256 of data, joined, under a key derived from dek.
func macUnder(dek []byte, info string, data ...[]byte) ([32]byte, error) {
	key, err := hkdf.Expand(sha256.New, dek, info, 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("deriving MAC key: %w", err)
	}
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	for _, d := range data {
		mac.Write(d)
	}
	var sum [32]byte
	mac.Sum(sum[:0])
	return sum, nil
}
