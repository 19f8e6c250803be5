package keyring

import (
	"context"
	"encoding/binary"
	"fmt"
)

// SealEnvelope encrypts plaintext, at most [MaxPlaintext] bytes, under a new data
// key and returns the record of the key and the message in one blob
// (docs/format.md, "Envelope"). Use it for a few values that need no vault. Sealing
// makes one call to the primary and one to each replica; opening makes one call
// unless the key is cached. The context is sent to the key services, which may log
// it. Errors are those of [Keyring.NewKey] and [Group.Seal]; a plaintext that is
// too long is rejected with [ErrMalformed], without a call.
func (k *Keyring) SealEnvelope(ctx context.Context, plaintext []byte, c Context) ([]byte, error) {
	if len(plaintext) > MaxPlaintext { // before a key is made
		return nil, fmt.Errorf("sealing envelope: %w: %d bytes of plaintext; at most %d are allowed",
			ErrMalformed, len(plaintext), MaxPlaintext)
	}
	key, rec, err := k.NewKey(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("sealing envelope: %w", err)
	}
	defer key.Destroy()
	group, err := key.Group(c)
	if err != nil {
		return nil, fmt.Errorf("sealing envelope: %w", err)
	}
	envelope := make([]byte, 0, 4+len(rec)+len(plaintext)+Overhead)
	envelope = binary.BigEndian.AppendUint32(envelope, uint32(len(rec)))
	envelope = append(envelope, rec...)
	return group.Seal(envelope, plaintext, nil)
}

// OpenEnvelope returns the plaintext of an envelope that was sealed under the same
// context. It opens the record in the envelope with [Keyring.OpenKey]. Errors are
// those of OpenKey and [Group.Open].
func (k *Keyring) OpenEnvelope(ctx context.Context, envelope []byte, c Context) ([]byte, error) {
	rec, message, err := splitEnvelope(envelope)
	if err != nil {
		return nil, fmt.Errorf("opening envelope: %w", err)
	}
	key, err := k.OpenKey(ctx, rec, c)
	if err != nil {
		return nil, fmt.Errorf("opening envelope: %w", err)
	}
	defer key.Destroy()
	group, err := key.Group(c)
	if err != nil {
		return nil, fmt.Errorf("opening envelope: %w", err)
	}
	plaintext, err := group.Open(nil, message, nil)
	if err != nil {
		return nil, fmt.Errorf("opening envelope: %w", err)
	}
	return plaintext, nil
}

// splitEnvelope returns the two parts. It validates both so that an invalid
// envelope causes no call to a key service.
func splitEnvelope(envelope []byte) (Record, []byte, error) {
	if len(envelope) < 4 {
		return nil, nil, fmt.Errorf("%w: the envelope is too short", ErrMalformed)
	}
	size := binary.BigEndian.Uint32(envelope)
	rest := envelope[4:]
	if size > maxRecordSize || int(size) > len(rest) {
		return nil, nil, fmt.Errorf("%w: the length of the key record is invalid", ErrMalformed)
	}
	rec, message := Record(rest[:size]), rest[size:]
	recordID, err := rec.ID()
	if err != nil {
		return nil, nil, err
	}
	messageID, err := MessageKeyID(message)
	if err != nil {
		return nil, nil, err
	}
	if recordID != messageID {
		return nil, nil, fmt.Errorf("the message and the key record have different key IDs: %w", ErrTampered)
	}
	return rec, message, nil
}
