package keyring

import (
	"context"
	"encoding/binary"
	"fmt"
)

// SealEnvelope encrypts plaintext, at most [MaxPlaintext] bytes, under a data
// key of its own and returns the key's record and the message in one blob. It
// suits a few values kept without a vault: each costs one call of every current
// KEK to seal, and one call to open when it is not cached. The context goes to
// the key services, which may log it.
func (k *Keyring) SealEnvelope(ctx context.Context, plaintext []byte, c Context) ([]byte, error) {
	if len(plaintext) > MaxPlaintext { // before a key is made
		return nil, fmt.Errorf("sealing envelope: %w: %d bytes of plaintext, the limit is %d",
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

// OpenEnvelope returns the plaintext of an envelope that was sealed under the
// same context. It opens the record in it as [Keyring.OpenKey] does, and fails
// as that and [Group.Open] do.
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

// splitEnvelope returns the two parts, after a look at each: a key service is
// not asked about what cannot be opened.
func splitEnvelope(envelope []byte) (Record, []byte, error) {
	if len(envelope) < 4 {
		return nil, nil, fmt.Errorf("%w: it is too short for an envelope", ErrMalformed)
	}
	size := binary.BigEndian.Uint32(envelope)
	rest := envelope[4:]
	if size > maxRecordSize || int(size) > len(rest) {
		return nil, nil, fmt.Errorf("%w: the length of its key record is wrong", ErrMalformed)
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
		return nil, nil, fmt.Errorf("its message and its key record do not belong together: %w", ErrTampered)
	}
	return rec, message, nil
}
