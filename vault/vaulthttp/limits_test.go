package vaulthttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// asks is a handler for runners, and the count of its refusals by limit.
type asks struct {
	*admin
	handler http.Handler
	mu      sync.Mutex
	limited map[vaulthttp.LimitKind]int
}

func newAsks(t *testing.T, opts vaulthttp.Options) *asks {
	t.Helper()
	s := &asks{limited: map[vaulthttp.LimitKind]int{}}
	s.admin = newAdminOver(t, memstore.New(), func(o *vault.Options) {
		o.Integrations = nil
	})
	opts.Logger = s.Log.Logger()
	opts.Limited = func(by vaulthttp.LimitKind) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.limited[by]++
	}
	s.handler = vaulthttp.Runners(s.Vault, &opts)
	return s
}

// ask sends one request from an address.
func (s *asks) ask(t *testing.T, addr, token string, header ...string) *reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", wire.BootstrapPath, nil)
	r.RemoteAddr = addr
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got := serve(s.handler, r)
	requireDescribed(t, "GET", wire.BootstrapPath, got)
	return got
}

// requireHeldOff fails the test unless a limit refused the request, and returns its
// Retry-After.
func requireHeldOff(t *testing.T, got *reply, by, why string) time.Duration {
	t.Helper()
	requireRefusal(t, got, 429, "Too many requests", why)
	require.Contains(t, string(got.body), `"reason":"`+by+`"`, why)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err, "Retry-After is in seconds")
	require.GreaterOrEqual(t, seconds, 1)
	require.LessOrEqual(t, seconds, 60)
	return time.Duration(seconds) * time.Second
}

const nat = "203.0.113.7:4711"

func TestLimiter_Token(t *testing.T) {
	t.Run("bounds the requests of each token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{TokenLimit: vaulthttp.Limit{PerSecond: 0.5, Burst: 3}})
			token, other := s.MustIssue(t, "acme").Reveal(), s.MustIssue(t, "acme").Reveal()
			for range 3 {
				require.Equal(t, 200, s.ask(t, nat, token).status, "a burst is admitted")
			}
			wait := requireHeldOff(t, s.ask(t, nat, token), "token", "each token is limited")
			require.Equal(t, 2*time.Second, wait, "the rate is one in two seconds")
			requireHeldOff(t, s.ask(t, "198.51.100.1:1", token), "token", "from any address")
			require.Equal(t, 200, s.ask(t, nat, other).status, "another token is not affected")
			time.Sleep(wait)
			require.Equal(t, 200, s.ask(t, nat, token).status, "a client that respects Retry-After is admitted")
			requireHeldOff(t, s.ask(t, nat, token), "token", "once")
			require.Equal(t, 3, s.limited[vaulthttp.LimitedByToken], "refusals are counted")
			time.Sleep(time.Hour)
			for range 3 {
				require.Equal(t, 200, s.ask(t, nat, token).status, "a pause restores the burst")
			}
			requireHeldOff(t, s.ask(t, nat, token), "token", "and only one burst")
		})
	})
}

func TestLimiter_Address(t *testing.T) {
	t.Run("bounds the requests of each address", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{AddressLimit: vaulthttp.Limit{PerSecond: 1, Burst: 5}})
			for range 5 {
				require.Equal(t, 200, s.ask(t, nat, s.MustIssue(t, "acme").Reveal()).status)
			}
			wait := requireHeldOff(t, s.ask(t, nat, s.MustIssue(t, "acme").Reveal()), "address", "each address is limited, with any token")
			require.Equal(t, map[vaulthttp.LimitKind]int{vaulthttp.LimitedByAddress: 1}, s.limited, "refusals are counted")
			require.Equal(t, 200, s.ask(t, "203.0.113.8:1", s.MustIssue(t, "acme").Reveal()).status, "its neighbor is not affected")
			time.Sleep(wait)
			require.Equal(t, 200, s.ask(t, nat, s.MustIssue(t, "acme").Reveal()).status)
		})
	})

	t.Run("counts the spellings and the IPv6 /64 of a host as one address", func(t *testing.T) {
		for _, row := range []struct {
			one, other string
			same       bool
		}{
			{"192.0.2.1", "192.0.2.1", true},
			{"192.0.2.1", "::ffff:192.0.2.1", true},
			{"192.0.2.1", "192.0.2.2", false},
			{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
			{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
			{"fe80::1%eth0", "fe80::1%eth1", true},
			{"192.0.2.1:1", "192.0.2.1:2", true},
			{"192.0.2.1", "192.0.2.1:2", true},
			{"[2001:db8:1:2::1]:1", "[2001:db8:1:2::9]:2", true},
			{"[2001:db8:1:2::1]", "2001:db8:1:2::9", true},
			{"[::ffff:192.0.2.1]:1", "192.0.2.1", true},
			{"runner-net-a", "runner-net-a", true},
			{"runner-net-a", "runner-net-b", false},
			{"", "bad\naddress", true},
		} {
			synctest.Test(t, func(t *testing.T) {
				addr := row.one
				s := newAsks(t, vaulthttp.Options{
					AddressLimit: vaulthttp.Limit{PerSecond: 0.001, Burst: 1},
					RemoteAddr:   func(*http.Request) string { return addr },
				})
				token := s.MustIssue(t, "acme").Reveal()
				require.Equal(t, 200, s.ask(t, nat, token).status)
				addr = row.other
				require.Equal(t, row.same, s.ask(t, nat, token).status == 429, "%q and %q", row.one, row.other)
			})
		}
	})
}

// Behind a proxy that adds ports or brackets, each port is no address of its own.
func TestLimiter_ForwardedPorts(t *testing.T) {
	for name, forwarded := range map[string]func(guess int) string{
		"ports of IPv4":        func(guess int) string { return fmt.Sprintf("198.51.100.1:%d", 40_000+guess) },
		"ports of IPv6":        func(guess int) string { return fmt.Sprintf("[2001:db8:1:2::%d]:%d", guess, 40_000+guess) },
		"brackets of IPv6":     func(guess int) string { return fmt.Sprintf("[2001:db8:1:2::%d]", guess) },
		"zones":                func(guess int) string { return fmt.Sprintf("2001:db8:1:2::1%%eth%d", guess) },
		"hidden clients":       func(guess int) string { return fmt.Sprintf("_client%d", guess) },
		"entries before these": func(guess int) string { return fmt.Sprintf("203.0.113.%d, 198.51.100.1:%d", guess, guess) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a") // an empty vault calls no token unknown
			h := f.handler(vaulthttp.Options{
				RemoteAddr:   vaulthttp.TrustedProxies(netip.MustParsePrefix("192.0.2.0/24")),
				FailureLimit: vaulthttp.Limit{PerSecond: 0.001, Burst: 3},
			})
			statuses := map[int]int{}
			for guess := range 12 {
				token, _ := wire.NewToken()
				statuses[get(t.Context(), h, path, bundle.NewValue(token), "X-Forwarded-For", forwarded(guess)).Code]++
			}
			require.Equal(t, map[int]int{401: 3, 429: 9}, statuses)
		})
	}
}

func TestLimiter_Failures(t *testing.T) {
	t.Run("refuses new tokens from an address, but not accepted ones", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{FailureLimit: vaulthttp.Limit{PerSecond: 0.1, Burst: 5}})
			good, fresh := s.MustIssue(t, "acme").Reveal(), s.MustIssue(t, "acme").Reveal()
			require.Equal(t, 200, s.ask(t, nat, good).status)
			guess := func() string { token, _ := wire.NewToken(); return token }
			for i, token := range []string{"", "rnt_short", guess(), guess(), guess()} {
				require.Equal(t, 401, s.ask(t, nat, token).status, "guess %d", i)
			}
			before := s.Storage.Calls()
			wait := requireHeldOff(t, s.ask(t, nat, guess()), "failures", "the address has too many failures")
			requireHeldOff(t, s.ask(t, nat, ""), "failures", "a missing token counts too")
			requireHeldOff(t, s.ask(t, nat, fresh), "failures", "a token that is new here could be a guess")
			require.Equal(t, before, s.Storage.Calls(), "refused requests do not use the storage")
			require.Equal(t, 200, s.ask(t, nat, good).status, "a runner with an accepted token is not affected")
			require.Equal(t, 200, s.ask(t, "198.51.100.1:1", fresh).status, "other addresses are not affected")
			time.Sleep(wait)
			require.Equal(t, 401, s.ask(t, nat, guess()).status, "one more is admitted later")
			requireHeldOff(t, s.ask(t, nat, guess()), "failures", "and one only")
		})
	})

	t.Run("does not count a token that has expired or was revoked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{FailureLimit: vaulthttp.Limit{PerSecond: 0.001, Burst: 2}, TokenLimit: vaulthttp.Limit{PerSecond: 0.001, Burst: 10}})
			revoked := s.MustIssue(t, "acme")
			require.NoError(t, s.RevokeToken(t.Context(), tokenID(t, revoked)))
			expired := s.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Minute)})
			time.Sleep(time.Hour)
			for range 5 {
				require.Equal(t, 401, s.ask(t, nat, revoked.Reveal()).status)
				require.Equal(t, 401, s.ask(t, nat, expired.Reveal()).status)
			}
			require.Equal(t, 200, s.ask(t, nat, s.MustIssue(t, "acme").Reveal()).status, "runners with ended tokens do not block others")
			for range 5 {
				s.ask(t, nat, revoked.Reveal())
			}
			requireHeldOff(t, s.ask(t, nat, revoked.Reveal()), "token", "their token is limited")
		})
	})

	t.Run("bounds a flood by default", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{})
			statuses := map[int]int{}
			for range 5_000 {
				statuses[s.ask(t, nat, "rnt_guess").status]++
			}
			require.Equal(t, map[int]int{401: 1_000, 429: 4_000}, statuses)
			time.Sleep(10 * time.Second)
			clear(statuses)
			for range 1_000 {
				statuses[s.ask(t, nat, "rnt_guess").status]++
			}
			require.Equal(t, map[int]int{401: 100, 429: 900}, statuses, "ten a second in the long run")
			lines := strings.Count(s.Log.Text(), "\n")
			require.Less(t, lines, 200, "the log is not flooded")
			require.Contains(t, s.Log.Text(), "omitted=", "it reports the number of omitted lines")
			require.Equal(t, 4_900, s.limited[vaulthttp.LimitedByFailures], "metrics are exact")
		})
	})
}

func TestLimiter(t *testing.T) {
	t.Run("refunds a poll that waited", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{
				TokenLimit: vaulthttp.Limit{PerSecond: 1e-9, Burst: 3}, AddressLimit: vaulthttp.Limit{PerSecond: 1e-9, Burst: 3},
			})
			token := s.MustIssue(t, "acme").Reveal()
			etag := s.ask(t, nat, token).header.Get("ETag")
			for range 100 {
				require.Equal(t, 304, s.ask(t, nat, token, "If-None-Match", etag, "Prefer", "wait=50").status, "a runner may wait forever")
			}
			for i := range 100 {
				go func() {
					time.Sleep(time.Second)
					s.MustPut(t, "acme", "A", strconv.Itoa(i))
				}()
				got := s.ask(t, nat, token, "If-None-Match", etag, "Prefer", "wait=50")
				require.Equal(t, 200, got.status, "it gets every change")
				etag = got.header.Get("ETag")
			}
			require.Equal(t, 304, s.ask(t, nat, token, "If-None-Match", etag).status)
			require.Equal(t, 304, s.ask(t, nat, token, "If-None-Match", etag).status)
			requireHeldOff(t, s.ask(t, nat, token, "If-None-Match", etag), "address", "a poll that does not wait counts")
			requireHeldOff(t, s.ask(t, nat, token, "If-None-Match", `"x"`, "Prefer", "wait=50"), "address", "so does one with a stale revision")
		})
	})

	// Only the limiter is tested here; other tests produce real load.
	t.Run("admits many runners behind one address", func(t *testing.T) {
		for about, shared := range map[string]bool{"ten thousand with a token each": false, "two hundred with one token": true} {
			t.Run(about, func(t *testing.T) {
				runners := 10_000
				if shared {
					runners = 200
				}
				synctest.Test(t, func(t *testing.T) {
					l := vaulthttp.NewLimiter(&vaulthttp.Options{})
					one, _ := wire.NewToken()
					tokens := make([]string, runners)
					polls := make([]func(error), runners)
					ask := func(i int, waits bool) func(error) {
						end, by := l.Ask("203.0.113.7", tokens[i], waits)
						if by != "" {
							t.Fatalf("runner %d is refused by the limit of its %s", i, by)
						}
						return end
					}
					for i := range runners { // all start together
						if tokens[i] = one; !shared {
							tokens[i], _ = wire.NewToken()
						}
						ask(i, false)(nil)
						polls[i] = ask(i, true)
					}
					again := func(err error) {
						for i := range runners {
							polls[i](err)
							polls[i] = ask(i, true)
						}
					}
					for range 3 {
						time.Sleep(50 * time.Second)
						again(vault.ErrUnchanged)
					}
					for range 8 { // a write every second, for all of them
						time.Sleep(time.Second)
						again(nil)
					}
					for range 3 { // writes in quick succession, so that polls are not refunded
						time.Sleep(100 * time.Millisecond)
						again(nil)
					}
				})
			})
		}
	})

	t.Run("does not refund a slow delivery of an older revision", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{TokenLimit: vaulthttp.Limit{PerSecond: 1e-9, Burst: 3}})
			token := s.MustIssue(t, "acme").Reveal()
			s.MustPut(t, "acme", "A", "1")
			s.Storage.OnRead(func(store.Query, *store.Snapshot) { time.Sleep(time.Second) })
			statuses := map[int]int{}
			for range 10 {
				statuses[s.ask(t, nat, token, "If-None-Match", `"older"`, "Prefer", "wait=50").status]++
			}
			require.Equal(t, map[int]int{200: 3, 429: 7}, statuses)
		})
	})

	t.Run("bounds the audit entries of one token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newAsks(t, vaulthttp.Options{})
			token := s.MustIssue(t, "acme").Reveal()
			size := func() int64 {
				head, err := s.VerifyAudit(t.Context(), "acme", nil, nil)
				require.NoError(t, err)
				return head.Seq
			}
			before := size()
			for i := range 5_000 {
				s.ask(t, fmt.Sprintf("203.0.113.%d:1", i%250), token, "Satchel-Runner", fmt.Sprint("thief ", i))
			}
			require.Equal(t, int64(1_000), size()-before, "from any address and under any name")
			before = size()
			for range 600 { // ten minutes with ten requests a second
				for range 10 {
					s.ask(t, nat, token)
				}
				time.Sleep(time.Second)
			}
			require.InDelta(t, 600, size()-before, 1, "one a second in the long run")
		})
	})

	t.Run("remembers a bounded number of tokens and addresses", func(t *testing.T) {
		l := vaulthttp.NewLimiter(&vaulthttp.Options{})
		token, _ := wire.NewToken()
		l.Accept("192.0.2.1", token)
		for i := range 3 * vaulthttp.MostBuckets {
			addr := fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)
			l.Fail(addr)
			if i%2 == 0 {
				other, _ := wire.NewToken()
				l.Accept(addr, other)
			}
			if i%1000 == 0 {
				require.True(t, l.Knows(token), "a token in use is not forgotten")
				l.Accept("192.0.2.1", token)
			}
		}
		tokens, addrs, failures := l.Sizes()
		for _, size := range []int{tokens, addrs, failures} {
			require.LessOrEqual(t, size, 2*vaulthttp.MostBuckets)
		}
		require.Greater(t, failures, vaulthttp.MostBuckets/2, "the newest are remembered")
	})
}

func TestLimit(t *testing.T) {
	t.Run("can be disabled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			none := vaulthttp.Limit{PerSecond: -1}
			s := newAsks(t, vaulthttp.Options{TokenLimit: none, AddressLimit: none, FailureLimit: none})
			token := s.MustIssue(t, "acme").Reveal()
			for range 2_000 {
				require.Equal(t, 401, s.ask(t, nat, "").status)
			}
			for range 100 {
				require.Equal(t, 200, s.ask(t, nat, token).status)
			}
		})
	})
}
