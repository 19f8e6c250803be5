package gcpkms_test

import (
	"context"
	"fmt"

	kms "cloud.google.com/go/kms/apiv1"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/gcpkms"
)

// The client finds its credentials in the environment.
func Example() {
	ctx := context.Background()
	client, err := kms.NewKeyManagementClient(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kek, err := gcpkms.New(client, "projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek")
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(keys.Check(ctx))
}
