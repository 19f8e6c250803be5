package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/internal/testenv"
)

func TestEnvFile_Write(t *testing.T) {
	two := []dotenv.Entry{
		{Name: urlName, Value: bundle.NewValue("https://new.example.com")},
		{Name: tokenName, Value: bundle.NewValue("rnt_new")},
	}
	const lines = urlName + "=https://new.example.com\n" + tokenName + "=rnt_new\n"
	for name, c := range map[string]struct{ before, after string }{
		"no file":             {"", lines},
		"other lines":         {"# mine\nA='1 2' # why\n\nB=\"x\ny\"\n", "# mine\nA='1 2' # why\n\nB=\"x\ny\"\n" + lines},
		"no line end":         {"A=1", "A=1\n" + lines},
		"both, other order":   {tokenName + "=rnt_old\nA=1\nexport " + urlName + "=http://old # dev\n# end\n", tokenName + "=rnt_new\nA=1\n" + urlName + "=https://new.example.com\n# end\n"},
		"one, of two lines":   {"A=1\n" + tokenName + "='old\nold'\nB=2\n", "A=1\n" + tokenName + "=rnt_new\nB=2\n" + urlName + "=https://new.example.com\n"},
		"CRLF":                {tokenName + "=rnt_old\r\nA=1\r\n", tokenName + "=rnt_new\r\nA=1\r\n" + urlName + "=https://new.example.com\r\n"},
		"a mark at the start": {"\ufeff" + tokenName + "=rnt_old\n" + urlName + "=x\n", "\ufeff" + tokenName + "=rnt_new\n" + urlName + "=https://new.example.com\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			if c.before != "" {
				require.NoError(t, os.WriteFile(path, []byte(c.before), 0o644))
			}
			file, err := readEnvFile(path)
			require.NoError(t, err)
			require.NoError(t, file.write(two...))
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.after, string(after))
			_, err = dotenv.Parse(path, after)
			require.NoError(t, err, "the file is still valid")
			if info, err := os.Stat(path); runtime.GOOS != "windows" {
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only the owner can read it")
			}
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Len(t, left, 1, "no temporary file is left")
		})
	}
}

func TestEnvFile_SymbolicLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "real"), filepath.Join(dir, ".env")
	require.NoError(t, os.WriteFile(target, []byte("A=1\n"), 0o600))
	if err := os.Symlink("real", link); err != nil {
		testenv.Lacks(t, "this machine lacks symbolic links: %v", err)
	}
	file, err := readEnvFile(link)
	require.NoError(t, err)
	require.NoError(t, file.write(dotenv.Entry{Name: tokenName, Value: bundle.NewValue("rnt_new")}))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "the link stays a link")
	after, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "A=1\n"+tokenName+"=rnt_new\n", string(after))
}
