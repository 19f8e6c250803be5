package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

func TestShip(t *testing.T) {
	// The program runs against a platform that rotates its key.
	t.Run("uses a rotated key", func(t *testing.T) {
		posts := make(chan string)
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			posts <- fmt.Sprintf("%s says %s with %s", r.Header.Get("Team"), body, r.Header.Get("Authorization"))
		}))
		defer receiver.Close()

		p := vaulttest.NewPlatform(t)
		p.Put(t, "acme", "COLLECTOR_URL", receiver.URL)
		p.Put(t, "acme", "COLLECTOR_KEY", "first key")
		platform := &providers.Platform{URL: p.URL, Token: p.Token(t, "acme"), Client: p.Client}

		in, out := io.Pipe()
		var program sync.WaitGroup
		program.Go(func() {
			if err := ship(t.Context(), in, platform); err != nil {
				t.Errorf("the program ended with %v", err)
			}
		})
		post := func(line string) string {
			_, err := io.WriteString(out, line+"\n")
			require.NoError(t, err)
			return <-posts
		}
		require.Equal(t, "default says one with Bearer first key", post("one"))
		p.Put(t, "acme", "COLLECTOR_KEY", "second key")
		for begin := time.Now(); strings.HasSuffix(post("meanwhile"), "first key"); {
			require.Less(t, time.Since(begin), 20*time.Second, "the platform announces changes immediately")
		}
		require.Equal(t, "default says two with Bearer second key", post("two"))
		require.NoError(t, out.Close())
		program.Wait()
	})
}

func TestNewCollector(t *testing.T) {
	t.Run("names every missing secret", func(t *testing.T) {
		_, err := newCollector(nil)
		require.ErrorContains(t, err, "COLLECTOR_KEY")
		require.ErrorContains(t, err, "COLLECTOR_URL")
	})
}

func TestCollector_Post(t *testing.T) {
	t.Run("does not show the secret URL in an error", func(t *testing.T) {
		for _, url := range []string{"http://127.0.0.1:1/c4n4ry?key=c4n4ry", "http://127.0.0.1:c4n4ry/"} {
			b, err := bundle.New([]bundle.Secret{{Name: "COLLECTOR_URL", Value: bundle.NewValue(url)}, {Name: "COLLECTOR_KEY", Value: bundle.NewValue("key")}}, nil)
			require.NoError(t, err)
			c, err := newCollector(b)
			require.NoError(t, err)
			err = c.post(t.Context(), "line")
			require.Error(t, err)
			require.NotContains(t, err.Error(), "c4n4ry")
		}
	})
}

func TestConfig(t *testing.T) {
	t.Run("does not print its key", func(t *testing.T) {
		b, err := bundle.New([]bundle.Secret{
			{Name: "COLLECTOR_URL", Value: bundle.NewValue("https://collector.example.com")},
			{Name: "COLLECTOR_KEY", Value: bundle.NewValue("c4n4ry")},
		}, nil)
		require.NoError(t, err)
		c, err := newCollector(b)
		require.NoError(t, err)
		require.Equal(t, "c4n4ry", c.Key.Reveal())
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", c.config, c.config, c.config), "c4n4ry")
	})
}
