package providers_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
)

// A token in a file that another process rotates.
func ExamplePlatform() {
	platform := &providers.Platform{
		URL: "https://satchel.example.com/api",
		Token: func(context.Context) (bundle.Value, error) {
			token, err := os.ReadFile("/run/secrets/runner-token")
			return bundle.NewValue(strings.TrimSpace(string(token))), err
		},
		Runner: "builder-7",
	}
	fmt.Println(platform)
	// Output: bootstrap https://satchel.example.com
}

func ExamplePlatformFromEnv() {
	os.Setenv("SATCHEL_API_URL", "https://satchel.example.com/api")
	os.Setenv("SATCHEL_RUNNER_TOKEN", "rnt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs1QvrO2")
	defer os.Unsetenv("SATCHEL_API_URL")
	defer os.Unsetenv("SATCHEL_RUNNER_TOKEN")

	platform, err := providers.PlatformFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(platform)
	// Output: bootstrap https://satchel.example.com
}

// The readiness report of the platform only, here with a truncated token.
func ExamplePlatform_Check() {
	platform := &providers.Platform{
		URL: "https://satchel.example.com/api",
		Token: func(context.Context) (bundle.Value, error) {
			return bundle.NewValue("rnt_0123456789ABCDEF"), nil
		},
	}
	_, items := platform.Check(context.Background())
	for _, item := range items {
		fmt.Printf("%-7s %s: %s\n", item.Status, item.Name, item.Detail)
		if item.Fix != "" {
			fmt.Println("        to do:", item.Fix)
		}
	}
	// Output:
	// ok      URL of the platform: https://satchel.example.com/api/runners/bootstrap
	// failed  runner token: the token has 20 characters, want 65; copy all of it
	//         to do: use the complete token: rnt_ and 61 letters and digits
}
