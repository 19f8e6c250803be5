package local_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/keyring/local"
)

func TestKEK_Suite(t *testing.T) {
	t.Run("a key from bytes", func(t *testing.T) {
		keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
			kek, err := local.New(id, bytes.Repeat([]byte(id[len(id)-1:]), local.KeySize))
			require.NoError(t, err)
			return kek
		})
	})

	t.Run("a key from a generated file", func(t *testing.T) {
		keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
			kek, err := local.GenerateFile(filepath.Join(t.TempDir(), id))
			require.NoError(t, err)
			return kek
		})
	})
}

func TestNew(t *testing.T) {
	t.Run("takes a key of 32 bytes and a name", func(t *testing.T) {
		for _, size := range []int{0, 16, 31, 33, 64} {
			_, err := local.New("kek", make([]byte, size))
			require.ErrorContains(t, err, "want 32", "%d bytes", size)
		}
		for _, id := range []string{"", strings.Repeat("i", 1025)} {
			_, err := local.New(id, make([]byte, local.KeySize))
			require.ErrorContains(t, err, "want 1 to 1024")
		}
	})

	t.Run("copies the key", func(t *testing.T) {
		key := bytes.Repeat([]byte{7}, local.KeySize)
		kek, err := local.New("kek", key)
		require.NoError(t, err)
		w, err := kek.Wrap(t.Context(), make([]byte, 32), nil)
		require.NoError(t, err)
		clear(key)
		_, err = kek.Unwrap(t.Context(), w, nil)
		require.NoError(t, err)
	})
}

func TestKEK_Unwrap(t *testing.T) {
	t.Run("reports ErrNoKey for a wrong key with the right name", func(t *testing.T) {
		right, err := local.New("kek", bytes.Repeat([]byte{1}, local.KeySize))
		require.NoError(t, err)
		wrong, err := local.New("kek", bytes.Repeat([]byte{2}, local.KeySize))
		require.NoError(t, err)
		w, err := right.Wrap(t.Context(), make([]byte, 32), nil)
		require.NoError(t, err)
		got, err := wrong.Unwrap(t.Context(), w, nil)
		require.ErrorIs(t, err, keyring.ErrNoKey, "a wrong key file is distinguished from tampering")
		require.Nil(t, got)
	})
}

// hexBytes is a byte string, encoded in hex in the test files.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// knownKEKs is testdata/local.json of package keyring.
type knownKEKs struct {
	Format string
	Cases  []struct {
		Name    string
		KEK     hexBytes
		File    string
		Context keyring.Context
		DataKey hexBytes `json:"data_key"`

		KEKIDInfo      hexBytes `json:"kek_id_info"`
		KEKID          string   `json:"kek_id"`
		ContextEncoded hexBytes `json:"context_encoded"`
		Info           hexBytes
		OKM            hexBytes
		Commitment     hexBytes
		Nonce          hexBytes
		AAD            hexBytes
		Version        string
		Blob           hexBytes
	}
	Passphrases []struct {
		Name       string
		Passphrase hexBytes
		Salt       hexBytes
		KEK        hexBytes
		KEKID      string `json:"kek_id"`
	}
}

func known(t *testing.T) knownKEKs {
	content, err := os.ReadFile("../testdata/local.json")
	require.NoError(t, err)
	var file knownKEKs
	require.NoError(t, json.Unmarshal(content, &file))
	require.Equal(t, "local KEK", file.Format)
	require.NotEmpty(t, file.Cases)
	require.NotEmpty(t, file.Passphrases)
	return file
}

func TestKEK_KnownKeys(t *testing.T) {
	for _, test := range known(t).Cases {
		t.Run(test.Name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kek")
			require.NoError(t, os.WriteFile(path, []byte(test.File), 0o600))
			fromFile, err := local.FromFile(path)
			require.NoError(t, err, "a key file of version 1 is always readable")
			fromBytes, err := local.New(test.KEKID, test.KEK)
			require.NoError(t, err)
			for _, kek := range []*local.KEK{fromFile, fromBytes} {
				require.Equal(t, keyring.KEKID{Service: "local", Key: test.KEKID}, kek.ID())
				w := keyring.WrappedKey{KEK: kek.ID(), Version: test.Version, Blob: test.Blob}
				got, err := kek.Unwrap(t.Context(), w, test.Context)
				require.NoError(t, err)
				require.Equal(t, hex.EncodeToString(test.DataKey), hex.EncodeToString(got))
				again, err := kek.Wrap(t.Context(), test.DataKey, test.Context)
				require.NoError(t, err)
				require.Equal(t, test.KEKID, again.Version, "the version is the ID of the key")
			}
		})
	}
}

func expand(t *testing.T, key []byte, info string, n int) hexBytes {
	t.Helper()
	okm, err := hkdf.Expand(sha256.New, key, info, n)
	require.NoError(t, err)
	return okm
}

func TestKEK_KnownIntermediates(t *testing.T) {
	for _, test := range known(t).Cases {
		t.Run(test.Name, func(t *testing.T) {
			require.Equal(t, "satchel-kek-1:"+base64.StdEncoding.EncodeToString(test.KEK)+"\n", test.File)
			require.Equal(t, "skm/v1 local kek id\x00", string(test.KEKIDInfo))
			id := expand(t, test.KEK, string(test.KEKIDInfo), 16)
			require.Equal(t, test.KEKID, hex.EncodeToString(id))
			require.Equal(t, test.KEKID, test.Version)

			encoded, err := test.Context.Encode()
			require.NoError(t, err)
			require.Equal(t, test.ContextEncoded, hexBytes(encoded))
			digest := sha256.Sum256(encoded)
			require.Equal(t, "skm/v1 message key\x00"+string(digest[:]), string(test.Info))
			require.Equal(t, expand(t, test.KEK, string(test.Info), 64), test.OKM)
			require.Equal(t, test.OKM[32:], test.Commitment)
			head := slices.Concat(hexBytes("SKM\x01\x00\x01"), id, test.Commitment)
			require.Equal(t, append(head, 0, 0), test.AAD, "the message context is empty")
			require.Equal(t, append(head, test.Nonce...), test.Blob[:66])

			block, err := aes.NewCipher(test.OKM[:32])
			require.NoError(t, err)
			gcm, err := cipher.NewGCMWithRandomNonce(block)
			require.NoError(t, err)
			got, err := gcm.Open(nil, nil, test.Blob[54:], test.AAD)
			require.NoError(t, err)
			require.Equal(t, test.DataKey, hexBytes(got))
		})
	}
}

func TestFromPassphrase_KnownKeys(t *testing.T) {
	for _, test := range known(t).Passphrases {
		t.Run(test.Name, func(t *testing.T) {
			derived, err := local.FromPassphrase(test.Passphrase, test.Salt)
			require.NoError(t, err)
			require.Equal(t, keyring.KEKID{Service: "local", Key: test.KEKID}, derived.ID())
			plain, err := local.New(test.KEKID, test.KEK)
			require.NoError(t, err)
			w, err := plain.Wrap(t.Context(), bytes.Repeat([]byte{5}, 32), nil)
			require.NoError(t, err)
			got, err := derived.Unwrap(t.Context(), w, nil)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat([]byte{5}, 32), got)
		})
	}
}

func TestFromPassphrase(t *testing.T) {
	t.Run("needs a passphrase and a salt of 16 bytes", func(t *testing.T) {
		_, err := local.FromPassphrase([]byte("a long passphrase"), make([]byte, 15))
		require.ErrorContains(t, err, "want 16 or more")
		require.NotContains(t, err.Error(), "passphrase\"")
		_, err = local.FromPassphrase(nil, make([]byte, 16))
		require.ErrorContains(t, err, "the passphrase is empty")
	})
}

func TestGenerateFile(t *testing.T) {
	t.Run("writes a file that FromFile reads", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kek")
		made, err := local.GenerateFile(path)
		require.NoError(t, err)
		moved := path + "-moved"
		require.NoError(t, os.Rename(path, moved))
		read, err := local.FromFile(moved)
		require.NoError(t, err)
		require.Equal(t, made.ID(), read.ID(), "moving the file changes nothing")

		w, err := made.Wrap(t.Context(), bytes.Repeat([]byte{5}, 32), nil)
		require.NoError(t, err)
		got, err := read.Unwrap(t.Context(), w, nil)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{5}, 32), got)

		info, err := os.Stat(moved)
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), "only its owner can read it")
		}
		content, err := os.ReadFile(moved)
		require.NoError(t, err)
		require.Regexp(t, `^satchel-kek-1:[A-Za-z0-9+/]{43}=\n$`, string(content))
	})

	t.Run("generates a new key each time", func(t *testing.T) {
		dir := t.TempDir()
		a, err := local.GenerateFile(filepath.Join(dir, "a"))
		require.NoError(t, err)
		b, err := local.GenerateFile(filepath.Join(dir, "b"))
		require.NoError(t, err)
		require.NotEqual(t, a.ID(), b.ID())
	})

	t.Run("never replaces a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kek")
		_, err := local.GenerateFile(path)
		require.NoError(t, err)
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		_, err = local.GenerateFile(path)
		require.ErrorIs(t, err, fs.ErrExist)
		require.ErrorContains(t, err, path)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})

	t.Run("leaves nothing when the folder is missing", func(t *testing.T) {
		dir := t.TempDir()
		_, err := local.GenerateFile(filepath.Join(dir, "missing", "kek"))
		require.ErrorIs(t, err, fs.ErrNotExist)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

func TestFromFile(t *testing.T) {
	t.Run("names GenerateFile when the file is missing", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kek")
		_, err := local.FromFile(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "GenerateFile")
	})

	t.Run("rejects a file that other users can access", func(t *testing.T) {
		for _, mode := range []fs.FileMode{0o644, 0o640, 0o660, 0o604, 0o610, 0o601, 0o620} {
			path := filepath.Join(t.TempDir(), "kek")
			_, err := local.GenerateFile(path)
			require.NoError(t, err)
			require.NoError(t, os.Chmod(path, mode))
			_, err = local.FromFile(path)
			if runtime.GOOS == "windows" {
				require.NoError(t, err, "Windows has no such modes")
				continue
			}
			require.ErrorContains(t, err, "chmod 600", "mode %o", mode)
		}
		path := filepath.Join(t.TempDir(), "kek")
		_, err := local.GenerateFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, 0o400))
		_, err = local.FromFile(path)
		require.NoError(t, err, "a stricter mode is allowed")
	})

	t.Run("rejects a folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "folder")
		require.NoError(t, os.Mkdir(dir, 0o700))
		_, err := local.FromFile(dir)
		require.Error(t, err)
	})
}

func TestFromFile_Malformed(t *testing.T) {
	key := bytes.Repeat([]byte{0x5a, 0xa5, 0x3c, 0xc3}, 8)
	text := base64.StdEncoding.EncodeToString(key)
	short := base64.StdEncoding.EncodeToString(key[:16])
	long := base64.StdEncoding.EncodeToString(append(bytes.Clone(key), 1, 2, 3))
	for name, test := range map[string]struct{ content, text string }{
		"nothing":               {"", "does not begin"},
		"the key alone":         {text, "does not begin"},
		"another version":       {"satchel-kek-2:" + text, "does not begin"},
		"a space before":        {" satchel-kek-1:" + text, "does not begin"},
		"no key":                {"satchel-kek-1:\n", "the key has 0 bytes, want 32"},
		"sixteen bytes":         {"satchel-kek-1:" + short, "the key has 16 bytes, want 32"},
		"thirty-five bytes":     {"satchel-kek-1:" + long, "the key has 35 bytes, want 32"},
		"no padding":            {"satchel-kek-1:" + strings.TrimRight(text, "="), "base64"},
		"URL-safe":              {"satchel-kek-1:" + strings.Repeat("_-", 21) + "A=", "base64"},
		"stray bits":            {"satchel-kek-1:" + text[:42] + "N=", "base64"},
		"half a key":            {"satchel-kek-1:" + text[:21], "base64"},
		"text after the key":    {"satchel-kek-1:" + text + " # prod", "text after the key"},
		"a space after the key": {"satchel-kek-1:" + text + " \n", "text after the key"},
		"two lines":             {"satchel-kek-1:" + text + "\n" + text + "\n", "more text"},
		"two final newlines":    {"satchel-kek-1:" + text + "\n\n", "more text"},
		"a carriage return":     {"satchel-kek-1:" + text + "\r\n", "carriage return"},
		"a newline in the key":  {"satchel-kek-1:" + text[:20] + "\n" + text[20:], "more text"},
		"a huge file":           {"satchel-kek-1:" + strings.Repeat(text, 10000), "is larger than the limit of 1024 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kek")
			require.NoError(t, os.WriteFile(path, []byte(test.content), 0o600))
			_, err := local.FromFile(path)
			require.ErrorContains(t, err, test.text)
			require.ErrorContains(t, err, path, "the error names the file")
			reason := strings.ReplaceAll(err.Error(), path, "")
			require.NotContains(t, reason, text[:8])
			require.NotContains(t, reason, "prod", "nothing of the content is quoted")
		})
	}
	for _, end := range []string{"", "\n"} {
		path := filepath.Join(t.TempDir(), "kek")
		require.NoError(t, os.WriteFile(path, []byte("satchel-kek-1:"+text+end), 0o600))
		_, err := local.FromFile(path)
		require.NoError(t, err, "the final newline is optional")
	}
}
