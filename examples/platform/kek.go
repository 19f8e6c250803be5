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

// services are the values of -kek, and make a KEK of what they call the key.
// Each takes its credentials from where its own tools do. docs/keyrings.md has
// the policies that they need.
var services = map[string]func(ctx context.Context, key string) (keyring.KEK, error){
	"local": func(_ context.Context, path string) (keyring.KEK, error) {
		return local.FromFile(path)
	},
	"aws": func(ctx context.Context, key string) (keyring.KEK, error) {
		name, _ := arn.Parse(key) // awskms.New says what is wrong with it
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

// shortRetries makes three tries fit into the five seconds that a keyring gives a
// call.
func shortRetries() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Second })
}

// openKey returns the KEK that a flag names. Clients that it makes are closed
// when ctx ends.
func openKey(ctx context.Context, flag string, ref keyRef) (keyring.KEK, error) {
	kek, err := services[ref.service](ctx, ref.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %s key %q: %w", flag, ref.service, ref.key, err)
	}
	return kek, nil
}

// openKeyring returns the keyring of all keys that the settings name.
func (c *config) openKeyring(ctx context.Context, opts *keyring.Options) (*keyring.Keyring, []keyring.KEKID, error) {
	primary, err := openKey(ctx, "-kek", c.kek)
	if err != nil {
		return nil, nil, err
	}
	ids := []keyring.KEKID{primary.ID()}
	for _, more := range []struct {
		flag string
		refs []keyRef
		to   *[]keyring.KEK
	}{{"-kek-replica", c.replicas, &opts.Replicas}, {"-kek-retired", c.retired, &opts.Retired}} {
		for _, ref := range more.refs {
			kek, err := openKey(ctx, more.flag, ref)
			if err != nil {
				return nil, nil, err
			}
			*more.to = append(*more.to, kek)
			ids = append(ids, kek.ID())
		}
	}
	keys, err := keyring.New(primary, opts)
	return keys, ids, err
}

// makeKeyFile makes the key file of a new platform. It never replaces one.
// Several processes may do this at once: all get the same key.
func makeKeyFile(path string) (made bool, err error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return createOnce(path, func(draft string) error {
		_, err := local.GenerateFile(draft)
		return err
	})
}
