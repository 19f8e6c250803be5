package migrate

import (
	"context"
	"errors"
	"net/http"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/api"
)

// An Uploader stores secrets in a scope of a platform. [To] returns the usual one.
// [Plan.Apply] calls one method at a time. Errors must hold no value.
type Uploader interface {
	// Create stores a value under a name that must not exist in the scope. If it
	// exists, even as a tombstone, the error is [ErrExists].
	Create(ctx context.Context, name string, value bundle.Value) (Stored, error)
	// Replace stores a value in place of the version that Lookup returned. If another
	// version is active by now, the error is [ErrExists]. Storing the current value
	// again changes nothing.
	Replace(ctx context.Context, name string, value bundle.Value, version int64) (Stored, error)
	// Lookup returns the secret or tombstone of a name in the scope itself, without
	// inheritance, and whether it exists.
	Lookup(ctx context.Context, name string) (Stored, bool, error)
}

// ErrExists means that the platform has another version or a tombstone of the name.
var ErrExists = errors.New("the name already exists")

// Stored describes a secret on the platform.
type Stored struct {
	// Version is the number of the active version, from 1.
	Version int64
	// Preview is the masked value; see [bundle.Value.Preview].
	Preview string
	// Hidden is true for a tombstone.
	Hidden bool
}

// To returns an Uploader for a scope that uses the admin API through client. It sends
// a trailing newline as is.
func To(client *admin.Client, scope string) Uploader { return scoped{client, scope} }

type scoped struct {
	client *admin.Client
	scope  string
}

// Create implements [Uploader].
func (s scoped) Create(ctx context.Context, name string, value bundle.Value) (Stored, error) {
	return s.put(ctx, name, value, admin.IfAbsent)
}

// Replace implements [Uploader].
func (s scoped) Replace(ctx context.Context, name string, value bundle.Value, version int64) (Stored, error) {
	return s.put(ctx, name, value, version)
}

func (s scoped) put(ctx context.Context, name string, value bundle.Value, version int64) (Stored, error) {
	info, err := s.client.Put(ctx, s.scope, name, value, &admin.PutOptions{
		IfVersion: version,
		// The platform must get the value exactly as it is in the file.
		AllowTrailingNewline: true,
	})
	// A 409 is a concurrent write of another secret, which may be retried.
	if e, ok := errors.AsType[*admin.Error](err); ok && e.StatusCode == http.StatusPreconditionFailed && errors.Is(err, admin.ErrConflict) {
		return Stored{}, ErrExists
	}
	return stored(info), err
}

// Lookup implements [Uploader].
func (s scoped) Lookup(ctx context.Context, name string) (Stored, bool, error) {
	info, err := s.client.Info(ctx, s.scope, name)
	if errors.Is(err, admin.ErrNotFound) {
		return Stored{}, false, nil
	}
	return stored(info), err == nil, err
}

func stored(info api.Secret) Stored {
	return Stored{Version: info.Version, Preview: info.Preview, Hidden: info.Hidden}
}
