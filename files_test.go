package satchel_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/yamlfile"
)

// fileLayer is a layer that reads a file. line returns the file's text for a value
// of A.
type fileLayer struct {
	name string
	make func(path string, optional bool) bundle.Provider
	line func(value string) string
	bad  string
}

var fileLayers = []fileLayer{
	{"dotenv", func(path string, optional bool) bundle.Provider {
		return &providers.Dotenv{Path: path, Optional: optional}
	},
		func(value string) string { return "A=" + value + "\n" }, "A='\n"},
	{"yaml", func(path string, optional bool) bundle.Provider {
		return &yamlfile.File{Path: path, Optional: optional}
	}, func(value string) string { return "A: '" + value + "'\n" }, "A: [\n"},
}

// eachFileLayer runs a test for each file layer, in a bubble, with a running client
// of the layer and another one. The bubble has a fake clock and real files.
func eachFileLayer(t *testing.T, optional bool, test func(t *testing.T, f fileLayer, path string, c *satchel.Client)) {
	for _, f := range fileLayers {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				put(t, path, f.line("1"))
				c := newClient(t, nil, newSource("platform", gives(bundleOf(secret("A", "platform's")))), f.make(path, optional))
				run(t, c)
				time.Sleep(time.Minute)
				require.Equal(t, "1", value(c, "A"))
				test(t, f, path, c)
			})
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// soon is the time after which a change of a file has arrived: a second between
// checks, and the time for the file to settle.
const soon = 1300 * time.Millisecond

func TestFiles(t *testing.T) {
	t.Run("picks up an edit", func(t *testing.T) {
		eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			for _, v := range []string{"2", "three", "4"} {
				put(t, path, f.line(v))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
			}
		})
	})

	t.Run("picks up a file renamed over another", func(t *testing.T) {
		eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			for _, v := range []string{"2", "3", "4"} { // several, because a watcher of the first file would see only one
				put(t, path+"~", f.line(v))
				require.NoError(t, os.Rename(path+"~", path))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
			}
		})
	})

	t.Run("picks up swapped links, as in Kubernetes", func(t *testing.T) {
		eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			// path -> ..data/file, ..data -> a directory that each update replaces.
			dir := filepath.Dir(path)
			require.NoError(t, os.Remove(path))
			update := func(version, v string) {
				require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
				put(t, filepath.Join(dir, version, "file"), f.line(v))
				require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
				require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			}
			update("..v1", "2")
			require.NoError(t, os.Symlink(filepath.Join("..data", "file"), path))
			for i, v := range []string{"3", "4", "5"} {
				update("..v"+v, v)
				require.NoError(t, os.RemoveAll(filepath.Join(dir, []string{"..v1", "..v3", "..v4"}[i])))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
			}
		})
	})

	t.Run("keeps the last good values of a deleted file until it returns", func(t *testing.T) {
		eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			for _, v := range []string{"1", "2"} {
				last := value(c, "A")
				require.NoError(t, os.Remove(path))
				time.Sleep(soon)
				require.Equal(t, satchel.Stale, c.Status().State, "the missing file is reported immediately")
				require.ErrorIs(t, c.Status().LastError, os.ErrNotExist)
				time.Sleep(3 * time.Hour)
				require.Equal(t, last, value(c, "A"), "stale is better than empty")
				put(t, path, f.line(v))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
				require.Equal(t, satchel.Fresh, c.Status().State)
				time.Sleep(time.Minute) // so that the next wait is under way
			}
		})
	})

	t.Run("uncovers lower layers when an optional file is deleted", func(t *testing.T) {
		eachFileLayer(t, true, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			for _, v := range []string{"2", "3"} {
				require.NoError(t, os.Remove(path))
				time.Sleep(soon)
				require.Equal(t, "platform's", value(c, "A"))
				require.Equal(t, satchel.Fresh, c.Status().State)
				put(t, path, f.line(v))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
			}
		})
	})

	t.Run("notices a change between New and Run", func(t *testing.T) {
		for _, f := range fileLayers {
			for about, change := range map[string]func(path string){
				"removed": func(path string) { require.NoError(t, os.Remove(path)) },
				"broken":  func(path string) { put(t, path, f.bad) },
				"edited":  func(path string) { put(t, path, f.line("2")) },
			} {
				t.Run(f.name+" "+about, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						path := filepath.Join(t.TempDir(), "file")
						put(t, path, f.line("1"))
						c := newClient(t, nil, f.make(path, false))
						change(path)
						run(t, c)
						time.Sleep(soon)
						if about == "edited" {
							require.Equal(t, "2", value(c, "A"))
							return
						}
						require.Equal(t, satchel.Stale, c.Status().State)
						require.Equal(t, "1", value(c, "A"))
						put(t, path, f.line("2"))
						time.Sleep(2 * soon)
						require.Equal(t, satchel.Fresh, c.Status().State)
						require.Equal(t, "2", value(c, "A"))
					})
				})
			}
		}
	})

	t.Run("notices every change soon after another", func(t *testing.T) {
		for at := 50 * time.Millisecond; at < 2*time.Second; at += 50 * time.Millisecond {
			eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
				put(t, path, f.line("2"))
				time.Sleep(at)
				put(t, path, f.bad)
				time.Sleep(2 * soon)
				require.Equal(t, satchel.Stale, c.Status().State, "broken %s after an edit", at)
				put(t, path, f.line("3"))
				time.Sleep(at)
				require.NoError(t, os.Remove(path))
				time.Sleep(2 * soon)
				require.Equal(t, satchel.Stale, c.Status().State, "removed %s after an edit", at)
			})
		}
	})

	t.Run("reports a malformed file, without a busy loop, until it is fixed", func(t *testing.T) {
		eachFileLayer(t, false, func(t *testing.T, f fileLayer, path string, c *satchel.Client) {
			for _, v := range []string{"1", "2"} {
				put(t, path, f.bad)
				time.Sleep(soon)
				require.Equal(t, satchel.Stale, c.Status().State)
				time.Sleep(3 * time.Hour)
				require.LessOrEqual(t, c.Status().Layers[1].Attempts, 3*60*10/135+65, "it is read with the back-off for 15 minutes, and then on schedule and after changes only")
				put(t, path, f.line(v))
				time.Sleep(soon)
				require.Equal(t, v, value(c, "A"))
				time.Sleep(time.Minute) // so that the next wait is under way
				require.Equal(t, satchel.Fresh, c.Status().State)
			}
		})
	})

	t.Run("picks up a file that is created later", func(t *testing.T) {
		for _, f := range fileLayers {
			t.Run(f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "file")
					c := newClient(t, nil, bundle.Optional(f.make(path, false)))
					require.Len(t, c.Bundle().Problems(), 1)
					run(t, c)
					time.Sleep(3 * time.Hour)
					put(t, path, f.line("1"))
					time.Sleep(soon)
					require.Equal(t, "1", value(c, "A"))
					require.Empty(t, c.Bundle().Problems())
				})
			})
		}
	})
}
