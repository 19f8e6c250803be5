package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhere(t *testing.T) {
	const both = " both have lines of the runner, and they differ"
	const nearby = ".env in the current folder has the runner's token, which every job here can read"

	t.Run("is the user's configuration folder by default", func(t *testing.T) {
		p := startPlatform(t)
		overwriteFile(t, ".env", "EDITOR_THEME=dark\n")
		p.setUp(t)
		left, err := os.ReadFile(".env")
		require.NoError(t, err)
		require.Equal(t, "EDITOR_THEME=dark\n", string(left), "the project's file is left alone")
		if runtime.GOOS != "windows" {
			for path, mode := range map[string]os.FileMode{"": 0o700, ".env": 0o600, "runner.yaml": 0o600} {
				info, err := os.Stat(filepath.Join(string(runnerHome(t)), path))
				require.NoError(t, err)
				require.Equal(t, mode, info.Mode().Perm(), path)
			}
		}
		// Every command finds the files, from every folder.
		t.Chdir(t.TempDir())
		overwriteFile(t, "mine.env", "A_KEY="+localKey+"\n")
		for _, args := range [][]string{{"check"}, {"explain"}, {"run", "--", "true"}, {"serve", "--stdin"}, {"migrate", "mine.env"}, {"setup", "--yes"}} {
			got := p.runner(t, args...).must(t, 0)
			require.NotContains(t, got.errOut, "current folder")
		}
		names, err := os.ReadDir(".")
		require.NoError(t, err)
		require.Len(t, names, 1)
	})

	t.Run("makes the configuration folder private", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("modes mean little there")
		}
		p := startPlatform(t)
		require.NoError(t, os.MkdirAll(string(runnerHome(t)), 0o755))
		p.setUp(t)
		info, err := os.Stat(string(runnerHome(t)))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	})

	t.Run("is the folder of --dir", func(t *testing.T) {
		p := startPlatform(t)
		require.NoError(t, os.Mkdir("elsewhere", 0o755))
		p.setUp(t, "--dir", "elsewhere")
		require.False(t, runnerHome(t).inUse())
		p.runner(t, "check").must(t, codeFailed)
		require.Contains(t, p.runner(t, "check", "--dir", "elsewhere").must(t, 0).out, "dotenv elsewhere/.env")
		p.setUp(t)
		require.Contains(t, p.runner(t, "check", "--dir", "elsewhere").must(t, 0).out, "dotenv elsewhere/.env", "the flag decides")
		p.runner(t, "check", "--dir", "").must(t, codeUsage)
	})

	t.Run("is created by setup", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t, "--dir", filepath.Join("new", "folder"))
		if runtime.GOOS != "windows" {
			info, err := os.Stat(filepath.Join("new", "folder"))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
		}
		p.runner(t, "check", "--dir", filepath.Join("new", "folder")).must(t, 0)
	})

	t.Run("is not below a relative HOME", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("its variable is another one")
		}
		t.Chdir(t.TempDir())
		t.Setenv("XDG_CONFIG_HOME", "")
		t.Setenv("HOME", "relative")
		_, err := standardHome()
		require.EqualError(t, err, "the user has no configuration folder: $HOME is relative; set HOME, or name a folder with --dir")
	})

	t.Run("is the current folder if only that has a token", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t, "--dir", ".")
		got := p.runner(t, "check").must(t, 0)
		require.Contains(t, got.out, "dotenv .env ")
		require.Equal(t, nearby+"; move its lines that begin with SATCHEL_ to "+filepath.Join(string(runnerHome(t)), ".env")+", or choose this folder with --dir .\n", got.errOut)
		require.Empty(t, p.runner(t, "check", "--dir", ".").must(t, 0).errOut)
		got = p.runner(t, "run", "--", "true").must(t, 0)
		require.Equal(t, 1, strings.Count(got.errOut, "\n"), "one line is enough:\n%s", got.errOut)
	})

	t.Run("is never two folders", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		p.setUp(t, "--dir", ".")
		here, err := os.Getwd()
		require.NoError(t, err)
		for _, args := range [][]string{{"check"}, {"explain"}, {"run", "--", "true"}, {"serve", "--stdin"}, {"migrate", ".env"}, {"setup", "--yes"}} {
			got := p.runner(t, args...)
			require.NotZero(t, got.code)
			require.Contains(t, got.errOut, runnerEnv(t)+" and "+filepath.Join(here, ".env")+both)
			require.Contains(t, got.errOut, "choose with --dir . or --dir "+string(runnerHome(t)))
		}
		p.runner(t, "check", "--dir", ".").must(t, 0)
		p.runner(t, "check", "--dir", string(runnerHome(t))).must(t, 0)

		overwriteFile(t, ".env", "malformed\n"+tokenName+"=\n")
		require.Contains(t, p.runner(t, "check").must(t, codeFailed).errOut, both)
		overwriteFile(t, ".env", tokenFileName+"=token\n")
		require.Contains(t, p.runner(t, "check").must(t, codeFailed).errOut, both)
	})

	t.Run("is the configuration folder if both agree", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		own, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		appendTo(t, runnerEnv(t), "A_KEY=1\n")
		overwriteFile(t, ".env", "A_KEY=2\n"+string(own))
		got := p.runner(t, "explain", "A_KEY").must(t, 0)
		require.Contains(t, got.out, "dotenv "+runnerEnv(t)+":3", "layers are not mixed")
	})

	t.Run("does not combine a token of the environment with the current folder", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		token := lineOf(t, tokenName)
		require.NoError(t, os.Remove(runnerEnv(t)))
		require.NoError(t, os.Remove(runnerHome(t).settings()))
		overwriteFile(t, ".env", urlName+"=https://elsewhere.example.com\n"+tokenName+"="+token+"\nA_KEY=1\n")
		t.Setenv(tokenName, token)
		require.Contains(t, p.runner(t, "check").must(t, codeFailed).errOut, urlName+" is not set", "the .env of a folder may be another user's")
	})

	t.Run("may be missing if the environment has the lines", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("the user's folder is always known")
		}
		p := startPlatform(t)
		p.setUp(t)
		token := lineOf(t, tokenName)
		t.Setenv("XDG_CONFIG_HOME", "")
		t.Setenv("HOME", "")
		got := p.runner(t, p.flagsOf()...).must(t, codeFailed)
		require.Contains(t, got.errOut, "the user has no configuration folder")
		require.Contains(t, got.errOut, "set HOME, or name a folder with --dir")
		require.Contains(t, p.runner(t, "check").must(t, codeFailed).errOut, "`satchel setup --dir FOLDER` writes both lines into "+filepath.Join("FOLDER", ".env"))
		overwriteFile(t, ".env", "A_KEY=1\n")
		t.Setenv(urlName, p.url)
		t.Setenv(tokenName, token)
		t.Setenv("SSL_CERT_FILE", p.ca)
		require.NotContains(t, p.runner(t, "check").out, ".env", "the project's file is no layer")
	})
}
