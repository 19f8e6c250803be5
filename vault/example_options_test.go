package vault_test

import (
	"fmt"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
)

// A program checks its settings on startup, and reports all problems in terms of its
// flags.
func ExampleOptions_Check() {
	opts := vault.Options{RefreshAfter: 10 * time.Millisecond, Notices: []string{"Set a budget for your keys.", ""}}
	flags := map[string]string{"vault.Options.RefreshAfter": "-refresh-after", "vault.Options.Notices": "-notice"}
	err := opts.Check()
	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
	// Output:
	// -notice[1] is blank; leave it out
	// -refresh-after is 10ms; want 1s or more
}
