package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// PutOptions say more about a value. The zero value of each field means its
// default.
type PutOptions struct {
	// Kind is who issued the value, such as "anthropic". Default: that of the
	// version before.
	Kind string
	// Expires is when the value ends. Default: it does not; for the value that
	// is active already, as before.
	Expires time.Time
	// Delivery is how jobs get the value. Default: that of the version
	// before, or bundle.DeliverEnv.
	Delivery bundle.Delivery
	// IfVersion makes Put fail with ErrConflict unless this version is the
	// active one; IfAbsent, unless there is none. Default: no condition.
	IfVersion int64
	// AllowTrailingNewline accepts a value that ends in a line break, as PEM
	// files do. Default: such a value is refused, because it is the usual
	// mistake in pasting.
	AllowTrailingNewline bool
}

// reserved begins the names of a runner's own settings, its token among them.
const reserved = "SATCHEL_"

// IfAbsent is the PutOptions.IfVersion of a secret that must not exist.
const IfAbsent = -1

// Put stores value as the next version of a secret and makes it the active
// one. The value must be valid UTF-8 without NUL and have at most MaxValue
// bytes; see MaxBundle for all of them. Putting the value that is active already
// changes nothing, unless opts changes what is said about it. opts may be nil.
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
	author, err := actor(ctx)
	if err != nil {
		return api.Secret{}, err
	}
	if err := checkRef(scope, name); err != nil {
		return api.Secret{}, err
	}
	if err := checkReserved(name); err != nil {
		return api.Secret{}, err
	}
	if err := checkPut(value, opts); err != nil {
		return api.Secret{}, err
	}
	var info api.Secret
	q := store.Query{Scope: scope, Name: name, Below: true}
	err = v.update(ctx, q, func(st *state, key *keyring.DataKey) (*store.Change, error) {
		active, exists := st.active(name)
		if err := checkVersion(opts.IfVersion, active, exists); err != nil {
			return nil, err
		}
		row := store.SecretRow{
			Scope: scope, Name: name, Version: st.Last + 1,
			Kind:     cmp.Or(opts.Kind, active.Kind),
			Delivery: cmp.Or(string(opts.Delivery), active.Delivery, string(bundle.DeliverEnv)),
			Author:   author, Expires: opts.Expires.UTC().Truncate(time.Microsecond),
		}
		row.Created, row.Rotated = timesOf(&active)
		if exists && !active.Hidden && !expired(&active, time.Now()) {
			same, err := st.holds(ctx, active, value)
			if err != nil {
				return nil, err
			}
			if same && row.Kind == active.Kind && row.Delivery == active.Delivery &&
				(row.Expires.IsZero() || row.Expires.Equal(active.Expires)) {
				info, err = st.info(ctx, active, active.Version)
				return nil, err
			}
		}
		if err := encrypt(&row, key, value); err != nil {
			return nil, err
		}
		if err := st.checkSizes(name, len(row.Message)); err != nil {
			return nil, err
		}
		info, err = st.info(ctx, row, row.Version)
		return insert(row), err
	})
	return info, err
}

// Hide makes a tombstone the active version of a name: runners of the scope,
// and of those below it, no longer get the secret, nor one that they would
// inherit. Hiding what is hidden changes nothing.
func (v *Vault) Hide(ctx context.Context, scope, name string) (api.Secret, error) {
	var info api.Secret
	err := v.edit(ctx, store.Query{Scope: scope, Name: name, Below: true}, func(st *state, key *keyring.DataKey, author string) (*store.Change, error) {
		active, exists := st.active(name)
		if exists && active.Hidden {
			var err error
			info, err = st.info(ctx, active, active.Version)
			return nil, err
		}
		row := store.SecretRow{
			Scope: scope, Name: name, Version: st.Last + 1, Hidden: true,
			Kind: active.Kind, Delivery: cmp.Or(active.Delivery, string(bundle.DeliverEnv)), Author: author,
		}
		row.Created, row.Rotated = timesOf(&active)
		err := authenticateSecret(&row, key)
		if err != nil {
			return nil, err
		}
		info, err = st.info(ctx, row, row.Version)
		return insert(row), err
	})
	if err != nil {
		return api.Secret{}, fmt.Errorf("hiding secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return info, nil
}

// Activate makes an earlier or later version of a secret the active one
// again. It is ErrNotFound if the vault does not have that version any more,
// see KeepVersions, and ErrInvalid if its value has expired.
func (v *Vault) Activate(ctx context.Context, scope, name string, version int64) (api.Secret, error) {
	var info api.Secret
	err := v.edit(ctx, store.Query{Scope: scope, Name: name, Below: true}, func(st *state, _ *keyring.DataKey, _ string) (*store.Change, error) {
		i := slices.IndexFunc(st.Versions, func(r store.SecretRow) bool { return r.Version == version })
		if i < 0 {
			return nil, fmt.Errorf("version %d: %w", version, ErrNotFound)
		}
		row := st.Versions[i]
		var err error
		if info, err = st.info(ctx, row, version); err != nil {
			return nil, err
		}
		if active, ok := st.active(name); ok && active.Version == version {
			return nil, nil
		}
		if expired(&row, time.Now()) {
			return nil, fmt.Errorf("%w: version %d expired at %s; put a new value", ErrInvalid, version, row.Expires.Format(time.RFC3339))
		}
		if !row.Hidden {
			if err := st.checkSizes(name, len(row.Message)); err != nil {
				return nil, err
			}
		}
		return &store.Change{Activate: []store.VersionRef{{Scope: scope, Name: name, Version: version}}}, nil
	})
	if err != nil {
		return api.Secret{}, fmt.Errorf("activating secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return info, nil
}

// Delete removes a secret with all of its versions, or a tombstone: runners
// then get what they inherit under the name, if anything. It cannot be undone.
func (v *Vault) Delete(ctx context.Context, scope, name string) error {
	err := v.edit(ctx, store.Query{Scope: scope, Name: name}, func(st *state, _ *keyring.DataKey, _ string) (*store.Change, error) {
		if _, exists := st.active(name); !exists {
			return nil, ErrNotFound
		}
		return &store.Change{Delete: []store.NameRef{{Scope: scope, Name: name}}}, nil
	})
	if err != nil {
		return fmt.Errorf("deleting secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return nil
}

// edit is update for one name of a scope, after checking both and the actor.
func (v *Vault) edit(ctx context.Context, q store.Query, plan func(st *state, key *keyring.DataKey, author string) (*store.Change, error)) error {
	author, err := actor(ctx)
	if err != nil {
		return err
	}
	if err := checkRef(q.Scope, q.Name); err != nil {
		return err
	}
	return v.update(ctx, q, func(st *state, key *keyring.DataKey) (*store.Change, error) { return plan(st, key, author) })
}

// List returns the active secrets and tombstones of scope itself, by name. It
// opens previews and never a value. It is empty for a scope that has none.
func (v *Vault) List(ctx context.Context, scope string) ([]api.Secret, error) {
	infos, err := v.list(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("listing scope %s: %w", clip(scope), v.refused(ctx, err))
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
		info, err := st.info(ctx, row, row.Version)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Info returns the active version of a secret or tombstone of scope itself, or
// ErrNotFound.
func (v *Vault) Info(ctx context.Context, scope, name string) (api.Secret, error) {
	infos, err := v.history(ctx, scope, name)
	if err == nil {
		if i := slices.IndexFunc(infos, func(info api.Secret) bool { return info.Active }); i >= 0 {
			return infos[i], nil
		}
		err = ErrNotFound
	}
	return api.Secret{}, fmt.Errorf("reading secret %s in scope %s: %w", clip(name), clip(scope), v.refused(ctx, err))
}

// History returns the versions of a secret that the vault still has, newest
// first. It is ErrNotFound if there are none.
func (v *Vault) History(ctx context.Context, scope, name string) ([]api.Secret, error) {
	infos, err := v.history(ctx, scope, name)
	if err != nil {
		return nil, fmt.Errorf("reading the history of secret %s in scope %s: %w", clip(name), clip(scope), v.refused(ctx, err))
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
		info, err := st.info(ctx, row, active.Version)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// inspect reads for an administrator, who expects to see uses up to now.
func (v *Vault) inspect(ctx context.Context, q store.Query) (*state, error) {
	if err := CheckScope(q.Scope); err != nil {
		return nil, err
	}
	v.flush(ctx, recordWithin)
	return v.read(ctx, q)
}

// active returns the active version of name in the scope.
func (st *state) active(name string) (store.SecretRow, bool) {
	for _, row := range st.scope().Secrets {
		if row.Name == name {
			return row, true
		}
	}
	return store.SecretRow{}, false
}

// timesOf returns the times of the version that follows r, which is the zero row
// if there was none.
func timesOf(r *store.SecretRow) (created, rotated time.Time) {
	t := now()
	if r.Version == 0 {
		return t, time.Time{}
	}
	return r.Created, t
}

// expired reports whether r's value has ended at time t.
func expired(r *store.SecretRow, t time.Time) bool {
	return !r.Expires.IsZero() && !t.Before(r.Expires)
}

// insert returns the change that stores row as the newest version.
func insert(row store.SecretRow) *store.Change {
	return &store.Change{
		Insert: []store.SecretRow{row},
		Prune:  []store.VersionRef{{Scope: row.Scope, Name: row.Name, Version: row.Version - KeepVersions + 1}},
	}
}

// checkRow verifies that row is as this vault wrote it.
func (st *state) checkRow(ctx context.Context, row store.SecretRow) error {
	genuine, err := st.genuine(ctx, row.KeyID, row.MAC, func(key *keyring.DataKey) ([32]byte, error) { return secretMAC(&row, key) })
	if err == nil && !genuine {
		err = fmt.Errorf("%w: version %d is not as it was written", keyring.ErrTampered, row.Version)
	}
	return err
}

// info returns what may be shown of row, after verifying it: a seal does not
// cover previews, nor rows that are not active.
func (st *state) info(ctx context.Context, row store.SecretRow, active int64) (api.Secret, error) {
	if err := st.checkRow(ctx, row); err != nil {
		return api.Secret{}, err
	}
	info := api.Secret{
		Scope: row.Scope, Name: row.Name, Kind: row.Kind, Version: row.Version, Active: row.Version == active, Hidden: row.Hidden,
		Created: row.Created, Rotated: row.Rotated, Expires: row.Expires, Delivery: bundle.Delivery(row.Delivery), Author: row.Author,
		LastUsed: row.LastUsed, LastToken: row.LastToken,
	}
	if row.Hidden {
		return info, nil
	}
	preview, err := st.open(ctx, purposePreviews, row, row.Preview)
	info.Preview = string(preview)
	return info, err
}

// holds reports whether row's value is value.
func (st *state) holds(ctx context.Context, row store.SecretRow, value bundle.Value) (bool, error) {
	plain, err := st.open(ctx, purposeSecrets, row, row.Message)
	if err != nil {
		return false, err
	}
	return bundle.NewValue(string(plain)).Equal(value), nil
}

// open opens a message of row.
func (st *state) open(ctx context.Context, purpose string, row store.SecretRow, message []byte) ([]byte, error) {
	plain, err := st.openMessage(ctx, groupContext(purpose, row.Scope), message, secretContext(&row))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", row.Name, err)
	}
	return plain, nil
}

// encrypt seals value and its preview into r.
func encrypt(r *store.SecretRow, key *keyring.DataKey, value bundle.Value) error {
	var err error
	if r.Message, err = sealPart(r, key, purposeSecrets, []byte(value.Reveal())); err != nil {
		return err
	}
	if r.Preview, err = sealPart(r, key, purposePreviews, []byte(value.Preview())); err != nil {
		return err
	}
	return authenticateSecret(r, key)
}

// sealPart returns a message of r.
func sealPart(r *store.SecretRow, key *keyring.DataKey, purpose string, plain []byte) ([]byte, error) {
	group, err := key.Group(groupContext(purpose, r.Scope))
	if err != nil {
		return nil, err
	}
	return group.Seal(nil, plain, secretContext(r))
}

// authenticateSecret writes the MAC of r, whose other fields are set.
func authenticateSecret(r *store.SecretRow, key *keyring.DataKey) error {
	r.KeyID = key.ID()
	var err error
	r.MAC, err = secretMAC(r, key)
	return err
}

func secretContext(r *store.SecretRow) keyring.Context {
	return keyring.Context{"name": r.Name, "version": strconv.FormatInt(r.Version, 10)}
}

// checkSizes refuses a message of n bytes under name if those on a path
// through the scope would exceed MaxBundle.
func (st *state) checkSizes(name string, n int) error {
	var path int64
	for i := range st.Path {
		for _, row := range st.Path[i].Secrets {
			if replaced := i == len(st.Path)-1 && row.Name == name; !replaced && !row.Hidden {
				path += int64(len(row.Message))
			}
		}
	}
	path += int64(n)
	worst, where := path, st.scope().Scope
	for scope := range st.Below {
		total := path
		for _, s := range store.Path(scope) {
			total += st.Below[s]
		}
		if total > worst {
			worst, where = total, scope
		}
	}
	if worst > MaxBundle {
		return fmt.Errorf("%w: the encrypted values on the path of scope %s would have %d bytes together; at most %d are allowed", ErrInvalid, where, worst, MaxBundle)
	}
	return nil
}

func checkRef(scope, name string) error {
	if err := CheckScope(scope); err != nil {
		return err
	}
	if err := bundle.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// checkReserved refuses a name that is not for secrets.
func checkReserved(name string) error {
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: names that begin with %s are the runner's own settings; choose another name", ErrInvalid, reserved)
	}
	return nil
}

func checkLength(value bundle.Value) error {
	if n := len(value.Reveal()); n > MaxValue {
		return fmt.Errorf("%w: the value has %d bytes; at most %d are allowed", ErrInvalid, n, MaxValue)
	}
	return nil
}

func checkPut(value bundle.Value, opts PutOptions) error {
	s := value.Reveal()
	if err := checkLength(value); err != nil {
		return err
	}
	if err := bundle.CheckValue(value); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !opts.AllowTrailingNewline && strings.TrimRight(s, "\r\n") != s {
		return fmt.Errorf("%w: the value ends in a line break; remove it, or set AllowTrailingNewline if it belongs to the value", ErrInvalid)
	}
	switch opts.Delivery {
	case "", bundle.DeliverEnv, bundle.DeliverFile, bundle.DeliverBroker:
	default:
		return fmt.Errorf("%w: unknown delivery %s", ErrInvalid, clip(string(opts.Delivery)))
	}
	if opts.IfVersion < IfAbsent {
		return fmt.Errorf("%w: IfVersion is %d; want a version, 0 for no condition, or IfAbsent", ErrInvalid, opts.IfVersion)
	}
	if !opts.Expires.IsZero() && !opts.Expires.After(time.Now()) {
		return fmt.Errorf("%w: the value has expired already, at %s", ErrInvalid, opts.Expires.Format(time.RFC3339))
	}
	if err := checkTime("Expires", opts.Expires); err != nil {
		return err
	}
	return checkText("the kind", opts.Kind, maxKind)
}

// checkVersion holds a Put to its IfVersion.
func checkVersion(want int64, active store.SecretRow, exists bool) error {
	switch {
	case want == 0 || want == IfAbsent && !exists || exists && want == active.Version:
		return nil
	case want == IfAbsent:
		return fmt.Errorf("%w: it exists, at version %d", ErrConflict, active.Version)
	case !exists:
		return fmt.Errorf("%w: it does not exist; version %d was expected", ErrConflict, want)
	}
	return fmt.Errorf("%w: it is at version %d; %d was expected", ErrConflict, active.Version, want)
}

// checkText bounds a text that is stored and shown.
func checkText(what, s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("%w: %s has %d bytes; at most %d are allowed", ErrInvalid, what, len(s), most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: %s has control characters or is not valid UTF-8", ErrInvalid, what)
	}
	return nil
}

// checkTime bounds a time that is stored and sent: JSON has no years beyond
// 9999.
func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); !t.IsZero() && (year < 1970 || year > 9999) {
		return fmt.Errorf("%w: %s is in the year %d; want 1970 to 9999", ErrInvalid, what, year)
	}
	return nil
}

// clip quotes and shortens what may be anything before it goes into an error.
func clip(s string) string { return strconv.Quote(text.Clip(s, bundle.MaxName, 35)) }
