package admin_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// Setting up a runner stores a missing key and issues the runner's token.
func Example() {
	setup := func(ctx context.Context, adminToken, key bundle.Value) (bundle.Value, error) {
		platform := &admin.Client{
			URL: "https://satchel.example.com/admin",
			Authorize: func(r *http.Request) error {
				r.Header.Set("Authorization", "Bearer "+adminToken.Reveal())
				return nil
			},
		}
		if _, err := platform.Put(ctx, "acme/web", "ANTHROPIC_API_KEY", key, &admin.PutOptions{IfVersion: admin.IfAbsent}); err != nil {
			return bundle.Value{}, err
		}
		token, info, err := platform.IssueToken(ctx, "acme/web", &admin.TokenOptions{Label: "build runner 1"})
		if err != nil {
			return bundle.Value{}, err
		}
		log.Printf("issued token %s", info.ID)
		return token, nil
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel() // this example sends no request
	_, err := setup(ctx, bundle.NewValue("an administrator's token"), bundle.NewValue("sk-ant-0123456789abcdefghijklmnopqr"))
	fmt.Println(err)
	// Output: putting secret ANTHROPIC_API_KEY in scope acme/web: PUT https://satchel.example.com/admin/v1/secrets/ANTHROPIC_API_KEY: context canceled
}
