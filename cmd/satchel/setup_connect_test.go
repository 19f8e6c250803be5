package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

func TestUnseen(t *testing.T) {
	const problem = "urn:satchel:problem:"
	for err, want := range map[error]bool{
		&admin.Error{StatusCode: 404, Type: problem + "not-found"}:         true,
		&admin.Error{StatusCode: 403, Type: problem + "not-allowed"}:       true,
		&admin.Error{StatusCode: 401, Type: problem + "unauthorized"}:      true,
		&admin.Error{StatusCode: 429, Type: problem + "too-many-requests"}: false,
		&admin.Error{StatusCode: 503, Type: problem + "unavailable"}:       false,
		&admin.Error{StatusCode: 404}:                                      false,
		&admin.Error{StatusCode: 403}:                                      false,
		&admin.Error{StatusCode: 401}:                                      false,
		&bundle.Fault{Problem: "the platform cannot be reached"}:           false,
		errors.New("other"):                                                false,
	} {
		require.Equal(t, want, unseen(fmt.Errorf("showing a token: %w", err)), "%v", err)
	}
}
