package providertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/stretchr/testify/require"
)

// checkNoValue fails if a text contains a value of the source. It does not print the
// text.
func checkNoValue(t tester, f Fixture, what, text string) {
	t.Helper()
	for _, value := range canaries(f) {
		require.False(t, strings.Contains(text, value), "%s shows a value", what)
	}
}

func saysWhatItIs(t tester, f Fixture) {
	named, ok := f.Provider.(fmt.Stringer)
	if !ok {
		return
	}
	name := named.String()
	require.NotEmpty(t, strings.TrimSpace(name), "String must not be blank")
	require.False(t, strings.ContainsAny(name, "\r\n"), "String must be one line, for logs and errors")
	checkNoValue(t, f, "String", name)
}

func nothingShowsAValue(t tester, f Fixture) {
	b := fetch(t, f, nil) // a provider may keep what it fetched
	checkNoValue(t, f, "the bundle", fmt.Sprintf("%v %+v %#v", b, b, *b))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		checkNoValue(t, f, "the provider printed with "+verb, fmt.Sprintf(verb, f.Provider))
	}
	encoded, err := json.Marshal(f.Provider)
	checkNoValue(t, f, "the provider as JSON", string(encoded)+fmt.Sprint(err))

	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("provider", "p", f.Provider)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("provider", "p", f.Provider)
	checkNoValue(t, f, "the provider in a log", log.String())
}
