package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gcp "cloud.google.com/go/kms/apiv1"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hashicorp/vault/api"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/keyring/local"
)

// services are the values of -kek. This file alone knows what they are: the rest
// of the program sees a [keyring.KEK].
var services = map[string]func(context.Context, choice) (keyring.KEK, error){
	"local":      inFile,
	"fake":       inMemory,
	"aws":        inAWS,
	"gcp":        inGCP,
	"hashivault": inVault,
}

// defaultMount is where HashiCorp Vault mounts a transit engine.
const defaultMount = "transit"

// choice is what the flags say.
type choice struct {
	service  string // a key of services
	key      string // the service's name for the key; a path for local
	mount    string // hashivault: where the transit engine is mounted
	endpoint string // aws and gcp: a server for tests, in place of the service
	dir      string // local: where a new key file goes
}

func inFile(_ context.Context, c choice) (keyring.KEK, error) {
	if c.key == "" {
		return local.GenerateFile(filepath.Join(c.dir, "kek"))
	}
	return local.FromFile(c.key)
}

func inMemory(context.Context, choice) (keyring.KEK, error) {
	return keyringtest.NewFake("kmsswap"), nil
}

// inAWS takes credentials from where the AWS CLI does: variables, profiles, single
// sign-on, the role of the machine. The region is that of the key.
func inAWS(ctx context.Context, c choice) (keyring.KEK, error) {
	name, _ := arn.Parse(c.key) // awskms.New says what is wrong with it
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(name.Region), config.WithRetryer(shortRetries))
	if err != nil {
		return nil, err
	}
	return awskms.New(kms.NewFromConfig(cfg, c.aws), c.key)
}

// shortRetries makes three tries fit into the five seconds that a keyring gives a
// call.
func shortRetries() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Second })
}

// aws points a client at the endpoint, if there is one.
func (c choice) aws(o *kms.Options) {
	if c.endpoint != "" {
		o.BaseEndpoint = aws.String("http://" + c.endpoint)
	}
}

// inGCP takes the application default credentials.
func inGCP(ctx context.Context, c choice) (keyring.KEK, error) {
	client, err := gcp.NewKeyManagementClient(ctx, c.gcp()...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = client.Close() })
	return gcpkms.New(client, c.key)
}

// gcp returns the options that point a client at the endpoint, if there is one.
func (c choice) gcp() []option.ClientOption {
	if c.endpoint == "" {
		return nil
	}
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	return []option.ClientOption{option.WithEndpoint(c.endpoint), option.WithoutAuthentication(), option.WithGRPCDialOption(plain)}
}

// inVault takes VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT and so on.
func inVault(_ context.Context, c choice) (keyring.KEK, error) {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return hashivault.New(client, c.mount, c.key)
}

// parse reads the flags. Asked for help, it writes the usage to out and returns
// [flag.ErrHelp].
func parse(args []string, out io.Writer) (choice, error) {
	var c choice
	names := strings.Join(slices.Sorted(maps.Keys(services)), ", ")
	flags := flag.NewFlagSet("kmsswap", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are the caller's to print
	flags.StringVar(&c.service, "kek", "local", "the `service` that has the key: "+names)
	flags.StringVar(&c.key, "key", "", "the key's `name`: a key file for local (default a new one), an ARN for aws,\n"+
		"projects/…/cryptoKeys/… for gcp, the name of a transit key for hashivault")
	flags.StringVar(&c.mount, "mount", defaultMount, "hashivault: the `path` of the transit engine")
	flags.StringVar(&c.endpoint, "endpoint", "", "aws and gcp: `address` and port of a test server on this machine")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.Usage()
		return choice{}, err
	}
	if err != nil {
		return choice{}, fmt.Errorf("%w; -h lists the flags", err)
	}
	return c, c.check(flags.Args(), names)
}

// check refuses what would be ignored, and an endpoint elsewhere: it is spoken
// to without TLS, and what goes there is data keys.
func (c choice) check(rest []string, names string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is no flag", rest[0])
	}
	if services[c.service] == nil {
		return fmt.Errorf("-kek %q: want one of %s", c.service, names)
	}
	if c.key != "" && c.service == "fake" {
		return errors.New("-key is not for fake, whose key is new each time")
	}
	if c.mount != defaultMount && c.service != "hashivault" {
		return errors.New("-mount is for hashivault")
	}
	if c.endpoint == "" {
		return nil
	}
	if c.service != "aws" && c.service != "gcp" {
		return errors.New("-endpoint is for aws and gcp; Vault's address is in VAULT_ADDR")
	}
	if address, err := netip.ParseAddrPort(c.endpoint); err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("-endpoint %q: want a server on this machine, such as 127.0.0.1:4566", c.endpoint)
	}
	return nil
}
