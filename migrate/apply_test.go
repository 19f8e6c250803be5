package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/migrate"
)

func TestPlan_Apply(t *testing.T) {
	t.Run("moves the secrets and keeps the other lines", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", sample)
		var told []string
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), &migrate.ApplyOptions{
			Fetch: p.fetch, Progress: func(o migrate.Outcome) { told = append(told, o.Name+" "+string(o.Status)) },
		})
		require.NoError(t, err)
		require.Equal(t, strings.Join([]string{
			"# the runner's own", "SATCHEL_API_URL=https://satchel.example.com", "SATCHEL_RUNNER_TOKEN=rnt_notarealtokenofanyrunner", "",
			"# settings", "PORT=8080", "LOG_LEVEL=info", "", "SLACK_TOKEN=changeme", "PIN_CODE=1234", "",
		}, "\n"), read(t, path))
		p.requireHas(t, map[string]string{
			"ANTHROPIC_API_KEY": "sk-ant-hunter2-hunter2-hunter2-abcd", "GITHUB_TOKEN": "hunter2-of-github-0123456789",
			"DEPLOY_KEY": "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----\n",
		})
		require.Equal(t, []string{"ANTHROPIC_API_KEY uploaded", "GITHUB_TOKEN uploaded", "DEPLOY_KEY uploaded"}, told)
		require.False(t, result.Remaining())
		require.Equal(t, sample, read(t, result.Backup), "the backup has the old content")
		info, err := os.Stat(result.Backup)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		requireAlone(t, path, result.Backup)
		require.Contains(t, result.String(), ": 3 of 3 removed from the file\nThe old content is in "+result.Backup)
		require.NotContains(t, result.String(), "hunter2")

		again := plan(t, path, nil)
		require.True(t, again.Empty())
		result, err = again.Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.Empty(t, result.Backup, "without changes there is no backup")
		require.Contains(t, result.String(), "nothing to do")
	})

	t.Run("moves a section of a YAML file", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, "config.yaml", "port: 80\nsecrets:\n  # ours\n  API_KEY: hunter2-a\n  DEPLOY_KEY: |\n    hunter2-b\n    hunter2-c\nother: [1]\n")
		file, err := migrate.ReadSection(path, "secrets")
		require.NoError(t, err)
		plan, err := file.Plan(nil)
		require.NoError(t, err)
		_, err = plan.Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, "port: 80\nsecrets:\n  # ours\nother: [1]\n", read(t, path))
		p.requireHas(t, map[string]string{"API_KEY": "hunter2-a", "DEPLOY_KEY": "hunter2-b\nhunter2-c\n"})
		_, err = migrate.ReadSection(path, "secrets")
		require.NoError(t, err, "an empty section is valid")
	})

	t.Run("reports the lines to remove by hand", func(t *testing.T) {
		p := newPlatform(t)
		const src = "{API_KEY: hunter2-a,\n DEPLOY_KEY: hunter2-b}\n"
		path := write(t, "config.yaml", src)
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.Equal(t, src, read(t, path))
		require.Empty(t, result.Backup)
		require.True(t, result.Remaining())
		require.Equal(t, migrate.StatusByHand, result.Outcomes[1].Status)
		require.Equal(t, "remove line 2 of "+path+" by hand: it is between braces", result.Outcomes[1].Detail)
		p.requireHas(t, map[string]string{"API_KEY": "hunter2-a", "DEPLOY_KEY": "hunter2-b"})
	})

	t.Run("overwrites another value only if it is named", func(t *testing.T) {
		p := newPlatform(t)
		p.Put(t, "acme/web", "A_KEY", "theirs-a-0123456789")
		p.Put(t, "acme/web", "B_KEY", "theirs-b-0123456789")
		p.Put(t, "acme/web", "SAME_KEY", "hunter2-same-0123456789")
		_, err := p.Vault.Hide(t.Context(), "acme/web", "HIDDEN_KEY")
		require.NoError(t, err)
		const src = "A_KEY=hunter2-a-0123456789\nB_KEY=hunter2-b-0123456789\nSAME_KEY=hunter2-same-0123456789\nHIDDEN_KEY=hunter2-h\nNEW_KEY=hunter2-n\n"

		path := write(t, ".env", src)
		result, err := plan(t, path, &migrate.Options{Overwrite: []string{"B_KEY"}}).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.Equal(t, map[string]migrate.Status{
			"A_KEY": "kept", "B_KEY": "moved", "SAME_KEY": "kept", "HIDDEN_KEY": "kept", "NEW_KEY": "moved",
		}, statuses(result))
		require.Equal(t, "A_KEY=hunter2-a-0123456789\nSAME_KEY=hunter2-same-0123456789\nHIDDEN_KEY=hunter2-h\n", read(t, path))
		require.Contains(t, result.String(), "the platform has another value; choose to overwrite it, or remove the line")
		require.Contains(t, result.String(), "the platform has a value with the same preview; compare with the runner's bundle")
		require.Contains(t, result.String(), "a tombstone hides the name on the platform")
		p.requireHas(t, map[string]string{
			"A_KEY": "theirs-a-0123456789", "B_KEY": "hunter2-b-0123456789", "SAME_KEY": "hunter2-same-0123456789", "NEW_KEY": "hunter2-n",
		})

		// The runner's bundle distinguishes equal previews from equal values.
		result, err = plan(t, path, nil).Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, map[string]migrate.Status{"A_KEY": "kept", "SAME_KEY": "moved", "HIDDEN_KEY": "kept"}, statuses(result))
		require.Equal(t, "A_KEY=hunter2-a-0123456789\nHIDDEN_KEY=hunter2-h\n", read(t, path))

		// A tombstone can be overwritten too.
		_, err = plan(t, path, &migrate.Options{Overwrite: []string{"HIDDEN_KEY", "A_KEY"}}).Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Empty(t, read(t, path))
	})

	t.Run("keeps a line if the platform's response shows another value", func(t *testing.T) {
		path := write(t, ".env", "API_KEY=hunter2-of-a-service\n")
		for _, got := range []migrate.Stored{{}, {Version: 1}, {Version: 1, Preview: "xx****xx"}, {Version: 1, Preview: "hu****ce", Hidden: true}} {
			result, err := plan(t, path, nil).Apply(t.Context(), answering{got}, nil)
			require.NoError(t, err)
			require.Equal(t, migrate.StatusKept, result.Outcomes[0].Status)
			require.Contains(t, result.Outcomes[0].Detail, "the platform's response shows another value")
		}
		require.Equal(t, "API_KEY=hunter2-of-a-service\n", read(t, path))
		requireAlone(t, path)
	})

	t.Run("stops uploading when its context is done", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\nB_KEY=hunter2-b\n")
		ctx, cancel := context.WithCancel(t.Context())
		result, err := plan(t, path, nil).Apply(ctx, p.to(), &migrate.ApplyOptions{Progress: func(migrate.Outcome) { cancel() }})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, map[string]migrate.Status{"A_KEY": "moved", "B_KEY": "kept"}, statuses(result))
		require.Equal(t, "B_KEY=hunter2-b\n", read(t, path))
	})

	t.Run("moves a repeated name once", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\nPORT=1\nA_KEY=hunter2-a\n")
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.Len(t, result.Outcomes, 2)
		require.Equal(t, "PORT=1\n", read(t, path))
		require.EqualValues(t, 1, p.writes.Load())
	})

	t.Run("puts no value into errors", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\nB_KEY=hunter2-b\n")
		p.client.URL += "/nowhere"
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		require.ErrorContains(t, err, "migrating "+path+": putting secret A_KEY in scope acme/web: ")
		encoded, jsonErr := json.Marshal(result)
		require.NoError(t, jsonErr)
		require.False(t, bytes.Contains(append(encoded, err.Error()+result.String()...), []byte("hunter2")))
		require.Equal(t, map[string]migrate.Status{"A_KEY": "kept", "B_KEY": "kept"}, statuses(result))

		_, err = (&migrate.Plan{}).Apply(t.Context(), p.to(), nil)
		require.ErrorContains(t, err, "the plan was not made by File.Plan")
		_, err = plan(t, path, nil).Apply(t.Context(), nil, nil)
		require.ErrorContains(t, err, "the Uploader is nil")
	})
}

func TestApplyOptions_Fetch(t *testing.T) {
	t.Run("keeps a line unless the runner gets its value", func(t *testing.T) {
		p := newPlatform(t)
		p.Put(t, "acme/web", "NEAR_KEY", "theirs") // nearer than acme
		const src = "NEAR_KEY=hunter2-a\nFAR_KEY=hunter2-b\n"
		path := write(t, ".env", src)
		result, err := plan(t, path, nil).Apply(t.Context(), migrate.To(p.client, "acme"), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, map[string]migrate.Status{"NEAR_KEY": "kept", "FAR_KEY": "moved"}, statuses(result))
		require.Contains(t, result.String(), "the runner gets another value from the platform; check the scopes nearer to the runner")

		path = write(t, ".env", "API_KEY=hunter2-a\n")
		result, err = plan(t, path, nil).Apply(t.Context(), migrate.To(p.client, "acme/api"), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Contains(t, result.String(), "the runner does not get it from the platform; check the scope of the runner's token")
		require.Equal(t, "API_KEY=hunter2-a\n", read(t, path))

		// The platform may have changed since the plan was made.
		p.Put(t, "acme/web", "OLD_KEY", "hunter2-old")
		path = write(t, ".env", "OLD_KEY=hunter2-old\n")
		b, err := p.fetch(t.Context())
		require.NoError(t, err)
		stale := plan(t, path, &migrate.Options{Bundle: b})
		require.Equal(t, migrate.ActionRemove, stale.Items[0].Action)
		p.Put(t, "acme/web", "OLD_KEY", "rotated")
		_, err = stale.Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, "OLD_KEY=hunter2-old\n", read(t, path))
	})

	t.Run("ignores values from the runner's own providers", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "API_KEY=hunter2-a\n")
		local, err := bundle.New([]bundle.Secret{{Name: "API_KEY", Value: bundle.NewValue("hunter2-a"), Origin: bundle.Origin{Provider: "dotenv"}}}, nil)
		require.NoError(t, err)
		_, err = plan(t, path, nil).Apply(t.Context(), p.to(), &migrate.ApplyOptions{
			Fetch: func(context.Context) (*bundle.Bundle, error) { return local, nil },
		})
		require.NoError(t, err)
		require.Equal(t, "API_KEY=hunter2-a\n", read(t, path), "the bundle has the value from the file itself")
	})

	t.Run("leaves the file if it fails", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\n")
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), &migrate.ApplyOptions{
			Fetch: func(context.Context) (*bundle.Bundle, error) { return nil, errBroken },
		})
		require.ErrorIs(t, err, errBroken)
		require.ErrorContains(t, err, "migrating "+path+": fetching the runner's bundle: ")
		require.Equal(t, "A_KEY=hunter2-a\n", read(t, path))
		require.Contains(t, result.String(), "not compared with the runner's bundle; run the migration again")
		requireAlone(t, path)
	})
}

// answering is an Uploader with a fixed response.
type answering struct{ stored migrate.Stored }

func (a answering) Create(context.Context, string, bundle.Value) (migrate.Stored, error) {
	return a.stored, nil
}

func (a answering) Replace(context.Context, string, bundle.Value, int64) (migrate.Stored, error) {
	return a.stored, nil
}

func (a answering) Lookup(context.Context, string) (migrate.Stored, bool, error) {
	return a.stored, true, nil
}

func TestPlan_ApplyAgain(t *testing.T) {
	t.Run("finishes after a failed upload", func(t *testing.T) {
		const src = "A_KEY=hunter2-a\n# b\nB_KEY=hunter2-b\nC_KEY=hunter2-c\n"
		all := map[string]string{"A_KEY": "hunter2-a", "B_KEY": "hunter2-b", "C_KEY": "hunter2-c"}
		for about, row := range map[string]struct {
			after         int
			reaches, with bool
			want          string
		}{
			"the first upload":                          {0, false, false, src},
			"the first upload's response":               {0, true, false, src},
			"the second upload":                         {1, false, false, "# b\nB_KEY=hunter2-b\nC_KEY=hunter2-c\n"},
			"the second upload's response":              {1, true, false, "# b\nB_KEY=hunter2-b\nC_KEY=hunter2-c\n"},
			"the second upload's response, with bundle": {1, true, true, "# b\nB_KEY=hunter2-b\nC_KEY=hunter2-c\n"},
			"the last upload's response":                {2, true, true, "# b\nC_KEY=hunter2-c\n"},
		} {
			t.Run(about, func(t *testing.T) {
				p := newPlatform(t)
				path := write(t, ".env", src)
				opts := &migrate.ApplyOptions{}
				if row.with {
					opts.Fetch = p.fetch
				}
				result, err := plan(t, path, nil).Apply(t.Context(), &breaking{Uploader: p.to(), after: row.after, reaches: row.reaches}, opts)
				require.ErrorIs(t, err, errBroken)
				require.NotContains(t, err.Error()+result.String(), "hunter2")
				require.Equal(t, row.want, read(t, path), "only verified lines are removed")
				require.True(t, result.Remaining())

				b, err := p.fetch(t.Context())
				require.NoError(t, err)
				_, err = plan(t, path, &migrate.Options{Bundle: b}).Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
				require.NoError(t, err)
				require.Equal(t, "# b\n", read(t, path))
				p.requireHas(t, all)
			})
		}
	})

	t.Run("finishes after a kill between upload and rewrite", func(t *testing.T) {
		const src = "A_KEY=hunter2-a\nB_KEY=hunter2-b\n"
		p := newPlatform(t)
		path := write(t, ".env", src)
		func() {
			defer func() { require.Equal(t, "killed", recover()) }()
			_, _ = plan(t, path, nil).Apply(t.Context(), p.to(), &migrate.ApplyOptions{
				Fetch: func(context.Context) (*bundle.Bundle, error) { panic("killed") },
			})
		}()
		require.Equal(t, src, read(t, path))
		requireAlone(t, path)
		p.requireHas(t, map[string]string{"A_KEY": "hunter2-a", "B_KEY": "hunter2-b"})

		before := p.writes.Load()
		b, err := p.fetch(t.Context())
		require.NoError(t, err)
		again := plan(t, path, &migrate.Options{Bundle: b})
		require.Equal(t, map[string]string{"A_KEY": "same remove", "B_KEY": "same remove"}, actions(again))
		_, err = again.Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, before, p.writes.Load(), "nothing is uploaded again")
		require.Empty(t, read(t, path))
	})
}

func TestPlan_ApplyFile(t *testing.T) {
	t.Run("refuses a file that has changed", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\n")
		old := plan(t, path, nil)
		require.NoError(t, os.WriteFile(path, []byte("A_KEY=hunter2-b\n"), 0o600))
		result, err := old.Apply(t.Context(), p.to(), nil)
		require.ErrorContains(t, err, "the file has changed since it was read; run the migration again")
		require.Equal(t, "not tried: the file has changed since it was read; run the migration again", result.Outcomes[0].Detail)
		require.Zero(t, p.writes.Load(), "nothing was uploaded")

		old = plan(t, path, nil)
		result, err = old.Apply(t.Context(), p.to(), &migrate.ApplyOptions{
			Progress: func(migrate.Outcome) { require.NoError(t, os.WriteFile(path, []byte("A_KEY=hunter2-c\n"), 0o600)) },
		})
		require.ErrorContains(t, err, "the file has changed since it was read; run the migration again")
		require.Equal(t, "A_KEY=hunter2-c\n", read(t, path), "an edit during the uploads is not lost")
		require.Equal(t, migrate.StatusUploaded, result.Outcomes[0].Status)
		require.Empty(t, result.Backup)
		requireAlone(t, path)
	})

	t.Run("keeps the file's mode and symbolic link", func(t *testing.T) {
		p := newPlatform(t)
		target := write(t, "real.env", "A_KEY=hunter2-a\nPORT=1\n")
		require.NoError(t, os.Chmod(target, 0o640))
		link := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, os.Symlink(target, link))
		result, err := plan(t, link, nil).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.Equal(t, "PORT=1\n", read(t, target), "the target of the link is rewritten")
		info, err := os.Lstat(link)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&os.ModeSymlink, "the link stays a link")
		requireAlone(t, link)
		info, err = os.Stat(target)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
		requireAlone(t, target, result.Backup)
	})

	t.Run("refuses a file with several hard links", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\n")
		require.NoError(t, os.Link(path, path+".link"))
		result, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		const why = "has 2 hard links, and the others would keep the secrets; remove the others first"
		require.ErrorContains(t, err, why)
		require.Equal(t, migrate.StatusKept, result.Outcomes[0].Status)
		require.Equal(t, "not tried: "+path+" "+why, result.Outcomes[0].Detail, "the table has the reason")
		require.Zero(t, p.writes.Load())
	})

	t.Run("leaves the file if its folder cannot be written", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\n")
		dir := filepath.Dir(path)
		moved := filepath.Join(t.TempDir(), "moved")
		old := plan(t, path, nil)
		_, err := old.Apply(t.Context(), p.to(), &migrate.ApplyOptions{Progress: func(migrate.Outcome) {
			require.NoError(t, os.Rename(dir, moved))
		}})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, "A_KEY=hunter2-a\n", read(t, filepath.Join(moved, ".env")))
		requireAlone(t, filepath.Join(moved, ".env"))
	})

	t.Run("makes two backups within a second", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", "A_KEY=hunter2-a\n")
		first, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte("B_KEY=hunter2-b\n"), 0o600))
		second, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
		require.NoError(t, err)
		require.NotEqual(t, first.Backup, second.Backup)
		require.Equal(t, "A_KEY=hunter2-a\n", read(t, first.Backup))
		require.Equal(t, "B_KEY=hunter2-b\n", read(t, second.Backup))
	})
}
