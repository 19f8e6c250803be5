package wycheproof

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"slices"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

// hexBytes is a byte string, which the files encode in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// A group is a list of vectors of type T with the same sizes, in bits.
type group[T any] struct {
	KeySize, IVSize, TagSize int
	Tests                    []T
}

// A verdict is the expected result of a vector.
type verdict struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string
}

// valid reports whether the operation must succeed. The vectors for keyring's
// primitives have two verdicts; a third, "acceptable", would need a decision.
func (v verdict) valid(t *testing.T) bool {
	t.Helper()
	require.Contains(t, []string{"valid", "invalid"}, v.Result, "vector %d", v.ID)
	return v.Result == "valid"
}

// read returns the groups in a file.
func read[T any](t *testing.T, name string) []group[T] {
	t.Helper()
	content, err := fs.ReadFile(wycheproof.TestVectors, name)
	require.NoError(t, err)
	var file struct {
		NumberOfTests int
		TestGroups    []group[T]
	}
	require.NoError(t, json.Unmarshal(content, &file))
	total := 0
	for _, g := range file.TestGroups {
		total += len(g.Tests)
	}
	require.Equal(t, file.NumberOfTests, total, "every vector was read")
	return file.TestGroups
}

type aeadVector struct {
	verdict
	Key, IV, AAD, Msg, CT, Tag hexBytes
}

// Keyring always uses keys of 256 bits, nonces of 96 and tags of 128.
func TestVectors_AESGCM(t *testing.T) {
	ran := 0
	for _, g := range read[aeadVector](t, "aes_gcm_test.json") {
		if g.KeySize != 256 || g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, v := range g.Tests {
			ran++
			gcm, err := aead(v.Key)
			require.NoError(t, err)
			sealed := slices.Concat(v.IV, v.CT, v.Tag)
			got, err := gcm.Open(nil, nil, sealed, v.AAD)
			if !v.valid(t) {
				require.Error(t, err, "vector %d: %s", v.ID, v.Comment)
				require.Nil(t, got, "vector %d: %s", v.ID, v.Comment)
				continue
			}
			require.NoError(t, err, "vector %d: %s", v.ID, v.Comment)
			require.Equal(t, hex.EncodeToString(v.Msg), hex.EncodeToString(got), "vector %d: %s", v.ID, v.Comment)
			again, err := gcm.Open(nil, nil, gcm.Seal(nil, nil, v.Msg, v.AAD), v.AAD)
			require.NoError(t, err, "vector %d, sealed with another nonce", v.ID)
			require.Equal(t, hex.EncodeToString(v.Msg), hex.EncodeToString(again), "vector %d", v.ID)
		}
	}
	require.Equal(t, 66, ran, "all vectors of these sizes were run")
}

type hkdfVector struct {
	verdict
	IKM, Salt, Info, OKM hexBytes
	Size                 int
}

// Keyring omits the extract step of HKDF, because its keys are random; the vectors
// need it.
func TestVectors_HKDF(t *testing.T) {
	ran := 0
	for _, g := range read[hkdfVector](t, "hkdf_sha256_test.json") {
		for _, v := range g.Tests {
			ran++
			prk, err := hkdf.Extract(sha256.New, v.IKM, v.Salt)
			require.NoError(t, err)
			got, err := expand(prk, string(v.Info), v.Size)
			if !v.valid(t) {
				require.Error(t, err, "vector %d: %s", v.ID, v.Comment)
				continue
			}
			require.NoError(t, err, "vector %d: %s", v.ID, v.Comment)
			require.Equal(t, hex.EncodeToString(v.OKM), hex.EncodeToString(got), "vector %d: %s", v.ID, v.Comment)
		}
	}
	require.Equal(t, 86, ran)
}

type macVector struct {
	verdict
	Key, Msg, Tag hexBytes
}

// Some vectors truncate the tag; keyring compares all of it.
func TestVectors_HMAC(t *testing.T) {
	ran := 0
	for _, g := range read[macVector](t, "hmac_sha256_test.json") {
		for _, v := range g.Tests {
			ran++
			got := mac(v.Key, v.Msg)[:g.TagSize/8]
			require.Equal(t, v.valid(t), hmac.Equal(got, v.Tag), "vector %d: %s", v.ID, v.Comment)
			half := len(v.Msg) / 2
			require.Equal(t, got, mac(v.Key, v.Msg[:half], v.Msg[half:])[:g.TagSize/8], "vector %d, in two parts", v.ID)
		}
	}
	require.Equal(t, 174, ran)
}
