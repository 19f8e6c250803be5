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

// services maps the values of -kek to constructors. Only this file depends on the
// service: the rest of the program uses a [keyring.KEK].
var services = map[string]func(context.Context, choice) (keyring.KEK, error){
	"local":      inFile,
	"fake":       inMemory,
	"aws":        inAWS,
	"gcp":        inGCP,
	"hashivault": inVault,
}

// defaultMount is the path at which HashiCorp Vault mounts a transit engine by default.
const defaultMount = "transit"

// choice holds the flags.
type choice struct {
	service  string // a key of services
	key      string // the service's name for the key; a path for local
	mount    string // hashivault: the path of the transit engine
	endpoint string // aws and gcp: a test server instead of the service
	dir      string // local: the folder for a new key file
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

// inAWS uses the same credentials as the AWS CLI: variables, profiles, single sign-on,
// the role of the machine. The region is that of the key.
func inAWS(ctx context.Context, c choice) (keyring.KEK, error) {
	name, _ := arn.Parse(c.key) // awskms.New reports an invalid ARN
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(name.Region), config.WithRetryer(shortRetries))
	if err != nil {
		return nil, err
	}
	return awskms.New(kms.NewFromConfig(cfg, c.aws), c.key)
}

// shortRetries fits three attempts into the five seconds that a keyring allows for a
// call.
func shortRetries() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Second })
}

// aws configures a client for the endpoint, if it is set.
func (c choice) aws(o *kms.Options) {
	if c.endpoint != "" {
		o.BaseEndpoint = aws.String("http://" + c.endpoint)
	}
}

// inGCP uses the application default credentials.
func inGCP(ctx context.Context, c choice) (keyring.KEK, error) {
	client, err := gcp.NewKeyManagementClient(ctx, c.gcp()...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = client.Close() })
	return gcpkms.New(client, c.key)
}

// gcp returns the options of a client for the endpoint, if it is set.
func (c choice) gcp() []option.ClientOption {
	if c.endpoint == "" {
		return nil
	}
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	return []option.ClientOption{option.WithEndpoint(c.endpoint), option.WithoutAuthentication(), option.WithGRPCDialOption(plain)}
}

// inVault reads VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT and so on.
func inVault(_ context.Context, c choice) (keyring.KEK, error) {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return hashivault.New(client, c.mount, c.key)
}

// parse reads the flags. For -h, it writes the usage to out and returns
// [flag.ErrHelp].
func parse(args []string, out io.Writer) (choice, error) {
	var c choice
	names := strings.Join(slices.Sorted(maps.Keys(services)), ", ")
	flags := flag.NewFlagSet("kmsswap", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints errors
	flags.StringVar(&c.service, "kek", "local", "`service` of the key: "+names)
	flags.StringVar(&c.key, "key", "", "`name` of the key: a key file for local (default: a new one), an ARN for aws,\n"+
		"projects/…/cryptoKeys/… for gcp, the name of a transit key for hashivault")
	flags.StringVar(&c.mount, "mount", defaultMount, "hashivault: `path` of the transit engine")
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

// check rejects arguments that would be ignored, and remote endpoints, because the
// client sends data keys to the endpoint without TLS.
func (c choice) check(rest []string, names string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	if services[c.service] == nil {
		return fmt.Errorf("-kek %q: want one of %s", c.service, names)
	}
	if c.key != "" && c.service == "fake" {
		return errors.New("-key is not allowed with fake, which makes a new key each time")
	}
	if c.mount != defaultMount && c.service != "hashivault" {
		return errors.New("-mount is only for hashivault")
	}
	if c.endpoint == "" {
		return nil
	}
	if c.service != "aws" && c.service != "gcp" {
		return errors.New("-endpoint is only for aws and gcp; set VAULT_ADDR for hashivault")
	}
	if address, err := netip.ParseAddrPort(c.endpoint); err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("-endpoint %q: want a server on this machine, such as 127.0.0.1:4566", c.endpoint)
	}
	return nil
}
