package gitserver

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// What NewInstalled and NewBitbucket know.
const (
	AppID          = "Iv23liTestTestTest00"
	ConsumerKey    = "AbCdEfGhIjKlMnOpQr"
	ConsumerSecret = "canary9b2e77ConsumerSecret0123456"
)

// AppKey and NextAppKey return keys of the app. NewInstalled knows the first.
var AppKey, NextAppKey = sync.OnceValue(newAppKey), sync.OnceValue(newAppKey)

func newAppKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// NewInstalled returns a GitHub with one installation, 42, of one app.
func NewInstalled(path string) *GitHub {
	s := NewGitHub(path)
	s.SetKeys(AppID, &AppKey().PublicKey)
	s.Install(42, Installation{
		App: AppID, Repositories: []string{"web", "API", "docs"},
		Permissions: map[string]string{"contents": "write", "issues": "read", "metadata": "read"},
	})
	return s
}

// NewBitbucket returns a Bitbucket with one consumer.
func NewBitbucket() *Bitbucket {
	return &Bitbucket{Key: ConsumerKey, Secret: ConsumerSecret, Scopes: "pullrequest:write webhook"}
}
