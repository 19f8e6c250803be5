package awskms_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
)

// Programs get the configuration from config.LoadDefaultConfig of the SDK.
func Example() {
	cfg := aws.Config{Region: "eu-central-1"}

	kek, err := awskms.New(kms.NewFromConfig(cfg), "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = keys // ready to seal and open; keys.Check(ctx) tests the key
	fmt.Println(kek.ID())
	// Output:
	// awskms:arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
}

// New rejects an alias because it can be moved to another key.
func ExampleNew_alias() {
	_, err := awskms.New(kms.NewFromConfig(aws.Config{}), "alias/satchel")
	fmt.Println(err)
	// Output:
	// AWS KMS key "alias/satchel" is an alias, which can be moved to another key; write the key's ARN, which aws kms describe-key prints as Arn
}
