package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	gcp "cloud.google.com/go/kms/apiv1"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hashicorp/vault/api"

	"github.com/satchelhq/satchel/internal/regularfile"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/local"
)

// services are the values of -kek. Each opens the KEK with a name. Credentials come
// from the usual places of the service's own tools; docs/keyrings.md has the policies.
var services = map[string]func(ctx context.Context, c *config, log *slog.Logger, key string) (keyring.KEK, error){
	"local": func(_ context.Context, _ *config, _ *slog.Logger, path string) (keyring.KEK, error) {
		return local.FromFile(path)
	},
	"aws": func(ctx context.Context, _ *config, _ *slog.Logger, key string) (keyring.KEK, error) {
		name, _ := arn.Parse(key) // awskms.New reports an invalid one
		cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(name.Region), awsconfig.WithRetryer(shortRetries))
		if err != nil {
			return nil, err
		}
		cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(awsCredentials))
		return awskms.New(kms.NewFromConfig(cfg), key)
	},
	"gcp": func(ctx context.Context, _ *config, _ *slog.Logger, key string) (keyring.KEK, error) {
		client, err := gcp.NewKeyManagementClient(ctx)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = client.Close() })
		return gcpkms.New(client, key)
	},
	"hashivault": func(_ context.Context, c *config, log *slog.Logger, key string) (keyring.KEK, error) { // VAULT_ADDR, VAULT_TOKEN and so on
		slash := strings.LastIndex(key, "/")
		if slash < 1 {
			return nil, errors.New("want MOUNT/KEY, such as transit/satchel")
		}
		client, err := api.NewClient(api.DefaultConfig())
		if err != nil {
			return nil, err
		}
		kek, err := hashivault.New(client, key[:slash], key[slash+1:])
		if err != nil || c.kekTokenFile == "" {
			return kek, err
		}
		token := &reloaded[string]{setting: "-kek-token-file", files: []string{c.kekTokenFile}, log: log, load: c.readKEKToken}
		if err := token.start(); err != nil {
			return nil, err
		}
		return &withToken{kek, client, token}, nil
	},
}

// withToken is a key of HashiCorp Vault whose token is in a file.
type withToken struct {
	*hashivault.KEK
	client *api.Client
	token  *reloaded[string]
}

// Wrap implements [keyring.KEK].
func (k *withToken) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	k.client.SetToken(k.token.get())
	return k.KEK.Wrap(ctx, dek, c)
}

// Unwrap implements [keyring.KEK].
func (k *withToken) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	k.client.SetToken(k.token.get())
	return k.KEK.Unwrap(ctx, w, c)
}

// readKEKToken reads the token of HashiCorp Vault from its file.
func (c *config) readKEKToken() (string, error) {
	content, err := regularfile.ReadPrivate(c.kekTokenFile, 4<<10)
	token := strings.TrimSpace(string(content))
	if err == nil && token == "" {
		err = fmt.Errorf("%s is empty", c.kekTokenFile)
	}
	if err != nil {
		return "", fmt.Errorf("-kek-token-file: %w", err)
	}
	return token, nil
}

// awsCredentialsLife is the time after which credentials of AWS that do not expire are
// read again.
const awsCredentialsLife = 5 * time.Minute

// awsCredentials reads the credentials from the usual places of AWS. The SDK would read
// a file only once.
func awsCredentials(ctx context.Context) (aws.Credentials, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err == nil && !credentials.CanExpire {
		credentials.CanExpire, credentials.Expires = true, time.Now().Add(awsCredentialsLife)
	}
	return credentials, err
}

func serviceNames() string {
	return strings.Join(slices.Sorted(maps.Keys(services)), ", ")
}

// shortRetries fits three attempts into the five seconds that a keyring allows a call.
func shortRetries() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Second })
}

// namedKey is a key with the flag that names it.
type namedKey struct {
	flag string
	keyRef
}

// keyRefs returns all keys that the settings name: the primary, the replicas and
// the retired.
func (c *config) keyRefs() []namedKey {
	primary := "-kek"
	if c.kek.service == "local" {
		primary = "-kek-key"
	}
	refs := []namedKey{{primary, c.kek}}
	for _, ref := range c.replicas {
		refs = append(refs, namedKey{"-kek-replica", ref})
	}
	for _, ref := range c.retired {
		refs = append(refs, namedKey{"-kek-retired", ref})
	}
	return refs
}

// openKey returns the KEK that a flag names. Its clients are closed when ctx ends.
func (c *config) openKey(ctx context.Context, log *slog.Logger, ref namedKey) (keyring.KEK, error) {
	kek, err := services[ref.service](ctx, c, log, ref.key)
	switch {
	case err == nil:
		return kek, nil
	case ref.service != "local":
		return nil, fmt.Errorf("%s: %s key %q: %w", ref.flag, ref.service, ref.key, err)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", ref.flag, err)
	case ref.flag == "-kek-replica":
		return nil, fmt.Errorf("%s: %s does not exist; name a key file, or create one with the command keygen", ref.flag, ref.key)
	default:
		return nil, fmt.Errorf("%s: %s does not exist; name the file with the key of the data, or restore it from its copy, because no other key opens the data", ref.flag, ref.key)
	}
}

// openKeys returns the KEKs of refs, or one error for each problem.
func (c *config) openKeys(ctx context.Context, log *slog.Logger, refs []namedKey) ([]keyring.KEK, error) {
	var (
		keks []keyring.KEK
		errs []error
	)
	first := map[keyring.KEKID]namedKey{}
	for _, ref := range refs {
		kek, err := c.openKey(ctx, log, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		id := kek.ID()
		if same, ok := first[id]; ok {
			errs = append(errs, fmt.Errorf("%s: %s is the same key as %s of %s; remove one of them", ref.flag, ref.key, same.key, same.flag))
			continue
		}
		first[id] = ref
		keks = append(keks, kek)
	}
	return keks, errors.Join(errs...)
}

// openKeyring returns the keyring of all keys that the settings name.
func (c *config) openKeyring(ctx context.Context, opts *keyring.Options) (*keyring.Keyring, error) {
	keks, err := c.openKeys(ctx, opts.Logger, c.keyRefs())
	if err != nil {
		return nil, err
	}
	retired := 1 + len(c.replicas)
	opts.Replicas, opts.Retired = keks[1:retired], keks[retired:]
	return keyring.New(keks[0], opts)
}

// makeKeyFile creates the key file of a new platform. It never replaces one. Concurrent
// processes all get the same key.
func makeKeyFile(path string) (made bool, err error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return createOnce(path, func(draft string) error {
		_, err := local.GenerateFile(draft)
		return err
	})
}
