package gitserver_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/providers/internal/gitserver"
)

func TestVerify(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	now := time.Unix(1_800_000_000, 0)
	const header = `{"alg":"RS256","typ":"JWT"}`
	encode := base64.RawURLEncoding.EncodeToString
	sign := func(header string, iat, exp int64, iss string, by *rsa.PrivateKey) string {
		signed := encode([]byte(header)) + "." + encode(fmt.Appendf(nil, `{"iat":%d,"exp":%d,"iss":%q}`, now.Unix()+iat, now.Unix()+exp, iss))
		sum := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, by, crypto.SHA256, sum[:])
		require.NoError(t, err)
		return signed + "." + encode(signature)
	}
	good := sign(header, -60, 480, "app", key)
	for name, row := range map[string]struct{ token, want string }{
		"good":             {good, ""},
		"longest lifetime": {sign(header, 0, 600, "app", key), ""},
		"another key":      {sign(header, -60, 480, "app", other), gitserver.NotDecoded},
		"another app":      {sign(header, -60, 480, "elsewhere", key), gitserver.NotDecoded},
		"not signed":       {encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode([]byte(`{}`)) + ".", gitserver.NotDecoded},
		"another method":   {sign(`{"alg":"HS256","typ":"JWT"}`, -60, 480, "app", key), gitserver.NotDecoded},
		"changed":          {good[:len(good)-8] + "AAAAAAAA", gitserver.NotDecoded},
		"cut":              {good[:len(good)/2], gitserver.NotDecoded},
		"empty":            {"", gitserver.NotDecoded},
		"not yet":          {sign(header, 1, 480, "app", key), gitserver.NotYet},
		"expired":          {sign(header, -600, 0, "app", key), gitserver.Expired},
		"too long":         {sign(header, -60, 601, "app", key), gitserver.TooLong},
	} {
		t.Run(name, func(t *testing.T) {
			_, refusal := gitserver.Verify(row.token, map[string][]*rsa.PublicKey{"app": {&key.PublicKey}}, now)
			require.Equal(t, row.want, refusal)
		})
	}
}
