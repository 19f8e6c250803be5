package providers_test

import (
	"net/http"
	"testing"

	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// inBubble runs test in a synctest bubble, with a Platform that reaches handler
// through pipes and the real HTTP stack on both sides.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, b *providers.Platform)) {
	t.Helper()
	remotetest.ThroughPipes(t, handler, func(t *testing.T, client *http.Client) {
		_, give := newToken()
		test(t, &providers.Platform{URL: "http://localhost/api", Token: give, Client: client})
	})
}
