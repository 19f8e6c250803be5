package migrate

import (
	"context"
	"errors"
	"net/http"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/api"
)

// An Uploader is where secrets go: a scope of a platform. [To] returns the
// usual one. Errors hold no value.
type Uploader interface {
	// Create stores a value under a name that must not be there. The error is
	// [ErrExists] if it is, even as a tombstone.
	Create(ctx context.Context, name string, value bundle.Value) (Stored, error)
	// Replace stores a value in place of the version that Lookup returned. The
	// error is [ErrExists] if another is there by now. The value that is there
	// already changes nothing.
	Replace(ctx context.Context, name string, value bundle.Value, version int64) (Stored, error)
	// Lookup returns what is stored under a name in the scope itself, and
	// whether there is anything.
	Lookup(ctx context.Context, name string) (Stored, bool, error)
}

// ErrExists says that another value, or a tombstone, is there.
var ErrExists = errors.New("it is there already")

// Stored is what a platform says of a secret.
type Stored struct {
	// Version is the active one.
	Version int64
	// Preview is the masked form of its value.
	Preview string
	// Hidden says that it is a tombstone.
	Hidden bool
}

// To returns an Uploader for a scope, through the admin API.
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
		// It is in the file like that, and the same value has to arrive.
		AllowTrailingNewline: true,
	})
	// A 409 is a platform that is busy with other writes: trying again helps.
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
