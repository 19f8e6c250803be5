package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// PutOptions set the metadata of a value and conditions for [Vault.Put]. The zero
// value of each field means its default.
type PutOptions struct {
	// Kind is the issuer of the value, such as "anthropic": at most 64 bytes of
	// UTF-8 without control characters or tokens. Default: the kind of the active version.
	Kind string
	// Comment describes the version to administrators, in at most 1024 bytes of UTF-8
	// without control characters. It must not contain secrets. Default: the comment of
	// the active version.
	Comment string
	// Expires is the time at which the value expires; it must be in the future and
	// before the year 10000. Default: never, or unchanged if the value is already the
	// active one.
	Expires time.Time
	// Delivery is how jobs receive the value. Default: the delivery of the active
	// version, or bundle.DeliverEnv.
	Delivery bundle.Delivery
	// IfVersion makes Put fail with [ErrConflict] unless this version is the active
	// one. [IfAbsent] makes it fail unless the name has no active version. Default:
	// 0, no condition.
	IfVersion int64
	// AllowTrailingNewline accepts a value that ends in a line break, as PEM files
	// do. Default: such a value is [ErrInvalid], because the line break is usually a
	// copying mistake.
	AllowTrailingNewline bool
}

// IfAbsent, as [PutOptions].IfVersion, requires that the name has no active version,
// neither a value nor a tombstone.
const IfAbsent = -1

// Put stores value as the next version of a secret and makes it the active one. The
// value must be valid UTF-8 without NUL and have at most [MaxValue] bytes; [MaxScope]
// limits the total of its scope. Putting the value that is already active stores nothing,
// unless opts changes its metadata. opts may be nil.
//
// The error is [ErrInvalid] if scope, name, value, opts or the actor of ctx breaks a
// rule, or if MaxScope would be exceeded; [ErrConflict] if [PutOptions].IfVersion does
// not hold, or if the vault gave up after repeated conflicts with concurrent writes;
// [audit.ErrNotRecorded] if an audit sink fails and [Options].AuditBestEffort is not
// set: its text says whether the change is stored; or one of the storage, key service
// and integrity errors of the package comment.
func (v *Vault) Put(ctx context.Context, scope, name string, value bundle.Value, opts *PutOptions) (api.Secret, error) {
	if opts == nil {
		opts = &PutOptions{}
	}
	info, err := v.put(ctx, scope, name, value, *opts)
	if err != nil {
		return api.Secret{}, fmt.Errorf("putting secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return info, nil
}

func (v *Vault) put(ctx context.Context, scope, name string, value bundle.Value, opts PutOptions) (api.Secret, error) {
	if err := checkPut(scope, name, value, opts); err != nil {
		return api.Secret{}, err
	}
	q := store.Query{Scope: scope, Name: name, Below: true}
	return update(ctx, v, q, func(ctx context.Context, st *state, w write) (*plan, api.Secret, error) {
		return planPut(ctx, st, w, name, value, opts)
	})
}

// planPut makes value the active version, unless it already is.
func planPut(ctx context.Context, st *state, w write, name string, value bundle.Value, opts PutOptions) (*plan, api.Secret, error) {
	fail := func(err error) (*plan, api.Secret, error) { return nil, api.Secret{}, err }
	active, exists := st.active(name)
	if err := checkVersion(opts.IfVersion, active, exists); err != nil {
		return fail(err)
	}
	row := nextVersion(st, w, name, &active)
	row.Kind = cmp.Or(opts.Kind, active.Kind)
	row.Comment = cmp.Or(opts.Comment, active.Comment)
	row.Hosts = active.Hosts
	row.Delivery = cmp.Or(string(opts.Delivery), active.Delivery, string(bundle.DeliverEnv))
	row.Expires = stored(opts.Expires)
	if exists && !active.Hidden && !secretExpired(&active, w.time) {
		same, err := st.holds(ctx, active, value)
		if err != nil {
			return fail(err)
		}
		if same && row.Kind == active.Kind && row.Delivery == active.Delivery && row.Comment == active.Comment &&
			(row.Expires.IsZero() || row.Expires.Equal(active.Expires)) {
			secret, err := st.apiSecret(ctx, active, active.Version)
			return nil, secret, err
		}
	}
	if err := sealSecret(&row, w.key, value); err != nil {
		return fail(err)
	}
	if err := st.checkSize(name, len(row.Message)); err != nil {
		return fail(err)
	}
	secret, err := st.apiSecret(ctx, row, row.Version)
	return addVersion(row), secret, err
}

// Hide makes a tombstone the active version of a name: runners of the scope, and of
// the scopes below it, then receive neither the secret of this scope nor one that
// they would inherit. A nearer scope may still set the name. Hiding a name that is
// already hidden changes nothing.
//
// The error is [ErrInvalid] if scope, name or the actor of ctx is not valid;
// [ErrConflict] after repeated conflicts with concurrent writes; [audit.ErrNotRecorded]
// as for [Vault.Put]; or one of the storage, key service and integrity errors of the
// package comment.
func (v *Vault) Hide(ctx context.Context, scope, name string) (api.Secret, error) {
	q := store.Query{Scope: scope, Name: name, Below: true}
	secret, err := edit(ctx, v, q, func(ctx context.Context, st *state, w write) (*plan, api.Secret, error) {
		return planHide(ctx, st, w, name)
	})
	if err != nil {
		return api.Secret{}, fmt.Errorf("hiding secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return secret, nil
}

// planHide makes a tombstone the active version, unless it already is.
func planHide(ctx context.Context, st *state, w write, name string) (*plan, api.Secret, error) {
	active, exists := st.active(name)
	if exists && active.Hidden {
		secret, err := st.apiSecret(ctx, active, active.Version)
		return nil, secret, err
	}
	row := nextVersion(st, w, name, &active)
	row.Hidden = true
	row.Kind, row.Delivery = active.Kind, cmp.Or(active.Delivery, string(bundle.DeliverEnv))
	if err := authenticateSecret(&row, w.key); err != nil {
		return nil, api.Secret{}, err
	}
	secret, err := st.apiSecret(ctx, row, row.Version)
	return addVersion(row), secret, err
}

// Activate makes a stored version of a secret the active one, whether it is older or
// newer than the current one. Activating the active version changes nothing.
//
// The error is [ErrNotFound] if the vault does not have that version, for example
// because of [KeepVersions]; [ErrInvalid] if scope, name or the actor of ctx is not
// valid, if the value has expired, or if [MaxScope] would be exceeded; [ErrConflict]
// after repeated conflicts with concurrent writes; [audit.ErrNotRecorded] as for
// [Vault.Put]; or one of the storage, key service and integrity errors of the package
// comment.
func (v *Vault) Activate(ctx context.Context, scope, name string, version int64) (api.Secret, error) {
	q := store.Query{Scope: scope, Name: name, Below: true}
	secret, err := edit(ctx, v, q, func(ctx context.Context, st *state, w write) (*plan, api.Secret, error) {
		return planActivate(ctx, st, w, name, version)
	})
	if err != nil {
		return api.Secret{}, fmt.Errorf("activating secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return secret, nil
}

// planActivate makes a version the active one, unless it already is.
func planActivate(ctx context.Context, st *state, w write, name string, version int64) (*plan, api.Secret, error) {
	fail := func(err error) (*plan, api.Secret, error) { return nil, api.Secret{}, err }
	i := slices.IndexFunc(st.Versions, func(r store.SecretRow) bool { return r.Version == version })
	if i < 0 {
		return fail(fmt.Errorf("version %d: %w", version, ErrNotFound))
	}
	row := st.Versions[i]
	secret, err := st.apiSecret(ctx, row, version)
	if err != nil {
		return fail(err)
	}
	if active, ok := st.active(name); ok && active.Version == version {
		return nil, secret, nil
	}
	if secretExpired(&row, w.time) {
		return fail(fmt.Errorf("%w: version %d expired at %s; put a new value", ErrInvalid, version, row.Expires.Format(time.RFC3339)))
	}
	if !row.Hidden {
		if err := st.checkSize(name, len(row.Message)); err != nil {
			return fail(err)
		}
	}
	ref := store.VersionRef{Scope: row.Scope, Name: name, Version: version}
	return &plan{Change: store.Change{Activate: []store.VersionRef{ref}}}, secret, nil
}

// Delete removes all versions of a name, secrets and tombstones: runners then
// receive the value that they inherit under the name, if any. It cannot be undone. A
// later Put of the name continues its version numbers.
//
// The error is [ErrNotFound] if the scope itself has no such name; [ErrInvalid] if
// scope, name or the actor of ctx is not valid; [ErrConflict] after repeated conflicts
// with concurrent writes; [audit.ErrNotRecorded] as for [Vault.Put]; or one of the
// storage, key service and integrity errors of the package comment.
func (v *Vault) Delete(ctx context.Context, scope, name string) error {
	_, err := edit(ctx, v, store.Query{Scope: scope, Name: name}, func(_ context.Context, st *state, _ write) (*plan, struct{}, error) {
		p, err := planDelete(st, name)
		return p, struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("deleting secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return nil
}

func planDelete(st *state, name string) (*plan, error) {
	if _, exists := st.active(name); !exists {
		return nil, ErrNotFound
	}
	ref := store.NameRef{Scope: st.scope().Scope, Name: name}
	return &plan{Change: store.Change{Delete: []store.NameRef{ref}}}, nil
}

// edit checks the scope and the name of q and then calls update.
func edit[T any](ctx context.Context, v *Vault, q store.Query, decide planner[T]) (T, error) {
	if err := checkRef(q.Scope, q.Name); err != nil {
		var none T
		return none, err
	}
	return update(ctx, v, q, decide)
}

// List returns the active secrets and tombstones of scope itself, sorted by name. It
// decrypts previews and never a value. For a scope without secrets, even one that was
// never written, the list is empty. The error is [ErrInvalid] if scope is not valid, or
// one of the storage, key service and integrity errors of the package comment.
func (v *Vault) List(ctx context.Context, scope string) ([]api.Secret, error) {
	infos, err := v.list(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("listing scope %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	return infos, nil
}

func (v *Vault) list(ctx context.Context, scope string) ([]api.Secret, error) {
	st, err := v.inspect(ctx, store.Query{Scope: scope})
	if err != nil {
		return nil, err
	}
	defer st.close()
	var infos []api.Secret
	for _, row := range st.scope().Secrets {
		info, err := st.apiSecret(ctx, row, row.Version)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Info returns the active version of a secret or tombstone of scope itself. The error
// is [ErrNotFound] if there is none; [ErrInvalid] if scope or name is not valid; or one
// of the storage, key service and integrity errors of the package comment.
func (v *Vault) Info(ctx context.Context, scope, name string) (api.Secret, error) {
	infos, err := v.history(ctx, scope, name)
	if err == nil {
		if i := slices.IndexFunc(infos, func(info api.Secret) bool { return info.Active }); i >= 0 {
			return infos[i], nil
		}
		err = ErrNotFound
	}
	return api.Secret{}, fmt.Errorf("reading secret %s in scope %s: %w", clip(name), clip(scope), v.logRefusal(ctx, err))
}

// History returns the stored versions of a secret of scope itself, newest first; see
// [KeepVersions]. The error is [ErrNotFound] if there are none; [ErrInvalid] if scope or
// name is not valid; or one of the storage, key service and integrity errors of the
// package comment.
func (v *Vault) History(ctx context.Context, scope, name string) ([]api.Secret, error) {
	infos, err := v.history(ctx, scope, name)
	if err != nil {
		return nil, fmt.Errorf("reading the history of secret %s in scope %s: %w", clip(name), clip(scope), v.logRefusal(ctx, err))
	}
	return infos, nil
}

func (v *Vault) history(ctx context.Context, scope, name string) ([]api.Secret, error) {
	if err := checkRef(scope, name); err != nil {
		return nil, err
	}
	st, err := v.inspect(ctx, store.Query{Scope: scope, Name: name})
	if err != nil {
		return nil, err
	}
	defer st.close()
	active, exists := st.active(name)
	if !exists {
		return nil, ErrNotFound
	}
	var infos []api.Secret
	for _, row := range slices.Backward(st.Versions) {
		info, err := st.apiSecret(ctx, row, active.Version)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// inspect reads for an administrator: it first flushes the pending uses, so that the
// state shows them.
func (v *Vault) inspect(ctx context.Context, q store.Query) (*state, error) {
	if err := CheckScope(q.Scope); err != nil {
		return nil, err
	}
	v.flush(ctx, recordWithin)
	return v.read(ctx, q)
}

// checkSize returns ErrInvalid for a message of n bytes under name if the messages of
// the scope would then exceed MaxScope.
func (st *state) checkSize(name string, n int) error {
	total := int64(n)
	for _, row := range st.scope().Secrets {
		if row.Name != name && !row.Hidden {
			total += int64(len(row.Message))
		}
	}
	if total > MaxScope {
		return fmt.Errorf("%w: the encrypted values of the scope would have %d bytes in total; at most %d are allowed; delete secrets that are not in use, or move some to a scope above or below", ErrInvalid, total, MaxScope)
	}
	return nil
}

// checkVersion returns ErrConflict if the condition of a Put does not hold.
func checkVersion(want int64, active store.SecretRow, exists bool) error {
	switch {
	case want == 0 || want == IfAbsent && !exists || exists && want == active.Version:
		return nil
	case want == IfAbsent:
		return fmt.Errorf("%w: the secret exists, at version %d", ErrConflict, active.Version)
	case !exists:
		return fmt.Errorf("%w: the secret does not exist; version %d was expected", ErrConflict, want)
	}
	return fmt.Errorf("%w: the secret is at version %d; version %d was expected", ErrConflict, active.Version, want)
}
