package bitbucket_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/bitbucket"
)

// A consumer of a workspace, whose tokens are valid for two hours.
func ExampleConsumer() {
	consumer := &bitbucket.Consumer{
		ConsumerKey: "AbCdEfGhIjKlMnOpQr",
		ConsumerSecret: func(context.Context) (bundle.Value, error) {
			secret, err := os.ReadFile("/run/secrets/bitbucket-consumer")
			return bundle.NewValue(strings.TrimSpace(string(secret))), err
		},
		Scopes: []string{"repository:write", "pullrequest:write"},
	}
	fmt.Println(consumer)
	// Output: bitbucket https://bitbucket.org
}

// An access token of one repository. Git needs it with a fixed user name.
func ExampleConsumer_accessToken() {
	consumer := &bitbucket.Consumer{
		AccessToken: func(context.Context) (bundle.Value, error) {
			return bundle.NewValue("ATCTT3xFfGN0ExampleExample"), nil
		},
	}
	b, err := consumer.Fetch(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, _ := b.Get("BITBUCKET_TOKEN")
	fmt.Println("username=x-token-auth")
	fmt.Println("password=" + token.Value.Preview()) // a credential helper reveals it
	// Output:
	// username=x-token-auth
	// password=AT****le
}
