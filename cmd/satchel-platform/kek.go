package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/local"
)

// services are the values of -kek. Each opens the KEK with a name. Credentials come
// from the usual places of the service's own tools; docs/keyrings.md has the policies.
var services = map[string]func(ctx context.Context, key string) (keyring.KEK, error){
	"local": func(_ context.Context, path string) (keyring.KEK, error) {
		return local.FromFile(path)
	},
	"aws": func(ctx context.Context, key string) (keyring.KEK, error) {
		name, _ := arn.Parse(key) // awskms.New reports an invalid one
		cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(name.Region), awsconfig.WithRetryer(shortRetries))
		if err != nil {
			return nil, err
		}
		return awskms.New(kms.NewFromConfig(cfg), key)
	},
	"gcp": func(ctx context.Context, key string) (keyring.KEK, error) {
		client, err := gcp.NewKeyManagementClient(ctx)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = client.Close() })
		return gcpkms.New(client, key)
	},
	"hashivault": func(_ context.Context, key string) (keyring.KEK, error) { // VAULT_ADDR, VAULT_TOKEN and so on
		slash := strings.LastIndex(key, "/")
		if slash < 1 {
			return nil, errors.New("want MOUNT/KEY, such as transit/satchel")
		}
		client, err := api.NewClient(api.DefaultConfig())
		if err != nil {
			return nil, err
		}
		return hashivault.New(client, key[:slash], key[slash+1:])
	},
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
func openKey(ctx context.Context, ref namedKey) (keyring.KEK, error) {
	kek, err := services[ref.service](ctx, ref.key)
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
func openKeys(ctx context.Context, refs []namedKey) ([]keyring.KEK, error) {
	var (
		keks []keyring.KEK
		errs []error
	)
	first := map[keyring.KEKID]namedKey{}
	for _, ref := range refs {
		kek, err := openKey(ctx, ref)
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
	keks, err := openKeys(ctx, c.keyRefs())
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
