package gitserver

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"sync"

	"github.com/satchelhq/satchel/providers/bitbucket"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// Credentials that NewInstalled and NewBitbucket accept.
const (
	AppID          = "Iv23liTestTestTest00"              // of the GitHub App
	ConsumerKey    = "AbCdEfGhIjKlMnOpQr"                // of the Bitbucket consumer
	ConsumerSecret = "canary9b2e77ConsumerSecret0123456" // of the Bitbucket consumer
)

// AppKey and NextAppKey each return one key of the app, which is generated once.
// NewInstalled accepts the first.
var AppKey, NextAppKey = sync.OnceValue(newAppKey), sync.OnceValue(newAppKey)

func newAppKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// NewInstalled returns a GitHub below path with one app and its installation 42.
func NewInstalled(path string) *GitHub {
	s := NewGitHub(path)
	s.SetKeys(AppID, &AppKey().PublicKey)
	s.Install(42, Installation{
		App: AppID, Repositories: []string{"web", "API", "docs"},
		Permissions: map[string]string{"contents": "write", "issues": "read", "metadata": "read"},
	})
	return s
}

// NewBitbucket returns a Bitbucket with one private consumer.
func NewBitbucket() *Bitbucket {
	return &Bitbucket{Key: ConsumerKey, Secret: ConsumerSecret, Scopes: "pullrequest:write webhook"}
}

// NewApp returns a provider for NewInstalled at url, which requests a part of the
// installation's access.
func NewApp(url string, client *http.Client) *github.App {
	return &github.App{
		AppID: AppID, Key: AppKey(), InstallationID: 42, URL: url, Client: client,
		Repositories: []string{"web"}, Permissions: map[string]string{"contents": "write"},
	}
}

// NewConsumer returns a provider for NewBitbucket at url.
func NewConsumer(url string, client *http.Client) *bitbucket.Consumer {
	return &bitbucket.Consumer{ConsumerKey: ConsumerKey, ConsumerSecret: remotetest.Give(ConsumerSecret), URL: url, Client: client}
}
