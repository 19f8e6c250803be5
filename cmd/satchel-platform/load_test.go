package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

const (
	// loadRunners is the number of runners at full size, and fewRunners that of
	// other runs. The variable overrides both.
	loadRunners         = 10_000
	fewRunners          = 200
	loadRunnersVariable = "SATCHEL_TEST_RUNNERS"
	// loadProcesses share the runners; half of them use each platform.
	loadProcesses = 4
	// convergeWithin bounds the time in which all runners get a new value, on a
	// busy machine.
	convergeWithin = 2 * time.Minute
	// shortOutage is an outage of the database that waiting runners do not notice;
	// see vault.Bootstrap.
	shortOutage = 7 * time.Second
)

// TestLoad has runners with a token each wait at two platforms on one database. All of
// them get every rotation, without errors. Then the database restarts and a platform is
// killed while an administrator writes: no acknowledged write is lost.
func TestLoad(t *testing.T) {
	began := time.Now()
	l := newLoad(t)
	stage := func(format string, args ...any) {
		t.Logf("%5.1fs  %s", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	stage("two platforms run; PostgreSQL takes %s connections", l.setting("max_connections"))
	l.put(0, loadScope, loadSecret, "round-0")
	for i := range 9 {
		l.put(0, loadScope, fmt.Sprintf("OTHER_%d", i), strings.Repeat("x", 64))
	}
	tokens := l.issue()
	stage("%d tokens are issued", len(tokens))
	l.startRunners()
	l.converge("round-0", time.Now())
	stage("%d runners have their first bundle and wait; responses: %v", l.runners, l.counts())
	l.pause(time.Second)

	// Steady.
	for round := 1; round <= 2; round++ {
		stage("%s", l.rotate(round%2, fmt.Sprint("round-", round)))
		l.pause(2 * time.Second) // a client begins one waiting request a second at most
	}
	stage("memory of the platforms: %s", l.memory())
	counts := l.counts()
	stage("responses in the steady phase: %v", counts)
	for what, n := range counts {
		require.True(t, strings.HasPrefix(what, "200") || strings.HasPrefix(what, "304"), "in the steady phase, %d responses were %s", n, what)
	}

	// The database restarts.
	stop := l.administer()
	l.pause(time.Second)
	l.put(0, loadScope, loadSecret, "round-3") // the database stops during its delivery
	time.Sleep(200 * time.Millisecond)
	away := time.Now()
	l.server.Stop(t)
	time.Sleep(time.Second)
	l.server.Start(t)
	outage := time.Since(away)
	stage("the database was down for %s", outage.Round(10*time.Millisecond))
	stage("%s", l.rotate(1, "round-4"))
	counts = l.counts()
	stage("responses since before the outage: %v", counts)
	for what, n := range counts {
		unavailable := strings.HasPrefix(what, "503") && outage >= shortOutage
		require.True(t, unavailable || strings.HasPrefix(what, "200") || strings.HasPrefix(what, "304"), "during an outage of %s, %d responses were %s", outage, n, what)
	}

	// A platform is killed.
	l.platforms[1].kill()
	killed := time.Now()
	stage("a platform was killed")
	at := time.Now()
	l.put(0, loadScope, loadSecret, "round-5")
	l.pause(2*time.Second - time.Since(killed))
	l.platforms[1].start()
	stage("and started again after %s", time.Since(killed).Round(10*time.Millisecond))
	stage("round-5, written during its downtime: %s", l.converge("round-5", at))
	l.pause(2 * time.Second)
	stage("%s", l.rotate(1, "round-6"))
	counts = l.counts()
	stage("responses since the kill: %v", counts)
	for what, n := range counts {
		require.NotRegexp(t, "^5", what, "%d responses", n)
	}

	acknowledged := stop()
	stage("an administrator made %d writes; failures: %v", acknowledged.n, acknowledged.failed)
	for why := range acknowledged.failed {
		require.Contains(t, []string{"no response", "503"}, why, "no write conflicts with another")
	}
	l.verify(acknowledged)
	stage("all acknowledged writes are stored, and the audit chain has no gap")
	stage("memory of the platforms: %s", l.memory())
}

// load is the database, the platforms and the runners.
type load struct {
	t         *testing.T
	server    *postgrestest.Server
	dir       string // of both platforms
	runners   int
	program   string // the platform
	binary    string // processes of runners
	platforms []*loadPlatform
	children  []*loadProcess
	client    *http.Client // for administrators
	token     string

	mu   sync.Mutex
	seen map[string]map[int]time.Time // by round and runner
}

// newLoad starts the database and the platforms.
func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{t: t, dir: t.TempDir(), runners: fewRunners, seen: map[string]map[int]time.Time{}}
	if testenv.IsLarge() {
		l.runners = loadRunners
	}
	if n, err := strconv.Atoi(os.Getenv(loadRunnersVariable)); err == nil {
		l.runners = n
	}
	l.server = postgrestest.StartOnDisk(t)
	l.program, l.binary = os.Args[0], os.Args[0]
	if l.isLarge() { // at full size, the race detector and the test's code would count
		l.program, l.binary = filepath.Join(t.TempDir(), "satchel-platform"), filepath.Join(t.TempDir(), "runners")
		l.build("build", "-o", l.program, ".")
		l.build("test", "-c", "-o", l.binary, ".")
	}
	for range 2 {
		p := &loadPlatform{l: l, listen: "127.0.0.1:0"}
		l.platforms = append(l.platforms, p)
		p.start()
		t.Cleanup(func() {
			p.kill()
			if t.Failed() {
				t.Logf("log of a platform: %s", p.tail())
			}
		})
	}
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(l.file("tls-cert.pem")))
	l.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}, Timeout: time.Minute}
	t.Cleanup(l.client.CloseIdleConnections)
	l.token = strings.TrimSpace(string(l.file("admin-token")))
	return l
}

// isLarge reports whether there are more runners than the small size has.
func (l *load) isLarge() bool { return l.runners > fewRunners }

// pause lets the runners settle, so that the figures of the full size are those of
// runners that all wait. The small size, which measures nothing, waits a tenth.
func (l *load) pause(d time.Duration) {
	if !l.isLarge() {
		d /= 10
	}
	time.Sleep(d)
}

// build runs the go command in this folder.
func (l *load) build(args ...string) {
	l.t.Helper()
	out, err := exec.CommandContext(l.t.Context(), "go", args...).CombinedOutput()
	require.NoError(l.t, err, "go %v: %s", args, out)
}

// file reads a file of the platforms' folder.
func (l *load) file(name string) []byte {
	l.t.Helper()
	content, err := os.ReadFile(filepath.Join(l.dir, name))
	require.NoError(l.t, err)
	return content
}

// setting returns a setting of the database.
func (l *load) setting(name string) (value string) {
	l.t.Helper()
	_, db, err := openLoadVault(l.t.Context(), l.server.DSN(), filepath.Join(l.dir, "kek"))
	require.NoError(l.t, err)
	defer db.Close()
	require.NoError(l.t, db.QueryRowContext(l.t.Context(), "SELECT current_setting($1)", name).Scan(&value))
	return value
}

// loadPlatform is the process of a platform.
type loadPlatform struct {
	l      *load
	listen string // keeps its port across restarts
	cmd    *exec.Cmd
	log    *text
}

var servingLine = regexp.MustCompile(`Serving https://(\S+)`)

// start starts the platform and waits until it serves.
func (p *loadPlatform) start() {
	t := p.l.t
	t.Helper()
	p.cmd = exec.Command(p.l.program, "-listen", p.listen, "-data", p.l.dir, "-database", p.l.server.DSN(), "-refresh-after", "1h")
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.log = &text{}
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := servingLine.FindStringSubmatch(lines.Text()); found != nil {
			if p.listen != found[1] { // after the first start, other goroutines read it
				p.listen = found[1]
			}
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	t.Fatalf("a platform did not start: %s", p.tail())
}

// kill ends the platform immediately.
func (p *loadPlatform) kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// tail returns the end of the platform's log.
func (p *loadPlatform) tail() string {
	all := p.log.String()
	return all[max(0, len(all)-4000):]
}

// refusedPut is a write that the admin API did not acknowledge.
type refusedPut struct{ status int }

func (e *refusedPut) Error() string { return fmt.Sprint("status of the admin API: ", e.status) }

// tryPut stores a secret through the admin API of a platform.
func (l *load) tryPut(ctx context.Context, platform int, scope, name, value string) error {
	body, err := json.Marshal(map[string]string{"value": value})
	if err != nil {
		return err
	}
	url := fmt.Sprintf("https://%s/admin/v1/secrets/%s?scope=%s", l.platforms[platform].listen, name, scope)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(vaulthttp.AdminHeader, "1")
	response, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &refusedPut{response.StatusCode}
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func (l *load) put(platform int, scope, name, value string) {
	l.t.Helper()
	require.NoError(l.t, l.tryPut(l.t.Context(), platform, scope, name, value))
}

// issue returns a token for each runner.
func (l *load) issue() []string {
	l.t.Helper()
	p := l.startProcess(loadOrder{DSN: l.server.DSN(), KEK: filepath.Join(l.dir, "kek"), Issue: l.runners})
	var tokens []string
	lines := bufio.NewScanner(p.out)
	for lines.Scan() {
		tokens = append(tokens, lines.Text())
	}
	require.NoError(l.t, p.cmd.Wait())
	require.Len(l.t, tokens, l.runners)
	for i := range loadProcesses {
		from, to := i*l.runners/loadProcesses, (i+1)*l.runners/loadProcesses
		p := &loadProcess{platform: i % len(l.platforms)}
		p.order = loadOrder{
			URL: "https://" + l.platforms[p.platform].listen, Certificate: string(l.file("tls-cert.pem")),
			Tokens: tokens[from:to], First: from,
		}
		l.children = append(l.children, p)
	}
	return tokens
}

// loadProcess is a process full of runners.
type loadProcess struct {
	order    loadOrder
	platform int
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      io.Reader
	counts   chan map[string]int
}

// startProcess starts the test binary with an order.
func (l *load) startProcess(order loadOrder) *loadProcess {
	l.t.Helper()
	p := &loadProcess{cmd: exec.Command(l.binary), counts: make(chan map[string]int, 1)}
	p.cmd.Env = append(os.Environ(), asRunners+"=1")
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(l.t, err)
	p.out, err = p.cmd.StdoutPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, p.cmd.Start())
	l.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	text, err := json.Marshal(order)
	require.NoError(l.t, err)
	_, err = p.in.Write(append(text, '\n'))
	require.NoError(l.t, err)
	return p
}

// startRunners starts the processes with runners.
func (l *load) startRunners() {
	l.t.Helper()
	for i, planned := range l.children {
		p := l.startProcess(planned.order)
		p.platform, p.order = planned.platform, planned.order
		l.children[i] = p
		go l.listen(p)
	}
}

// listen reads the output of a process of runners.
func (l *load) listen(p *loadProcess) {
	lines := bufio.NewScanner(p.out)
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		if what == "counts" {
			counts := map[string]int{}
			_ = json.Unmarshal([]byte(rest), &counts)
			p.counts <- counts
			continue
		}
		var runner int
		var round string
		var at int64
		if _, err := fmt.Sscan(rest, &runner, &round, &at); err != nil {
			continue
		}
		l.mu.Lock()
		if l.seen[round] == nil {
			l.seen[round] = map[int]time.Time{}
		}
		if _, ok := l.seen[round][runner]; !ok {
			l.seen[round][runner] = time.Unix(0, at)
		}
		l.mu.Unlock()
	}
}

// rotate stores a new value of the shared secret on one platform, and waits until all
// runners have it.
func (l *load) rotate(platform int, value string) string {
	l.t.Helper()
	at := time.Now()
	l.put(platform, loadScope, loadSecret, value)
	written := time.Since(at)
	return fmt.Sprintf("%s, written on platform %d in %s: %s", value, platform, written.Round(time.Millisecond), l.converge(value, at))
}

// converge waits until all runners have a value, and returns the percentiles of their
// delays after at.
func (l *load) converge(value string, at time.Time) string {
	l.t.Helper()
	var times map[int]time.Time
	for end := time.Now().Add(convergeWithin); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		times = maps.Clone(l.seen[value])
		l.mu.Unlock()
		if len(times) == l.runners {
			break
		}
		require.True(l.t, time.Now().Before(end), "%d of %d runners have %s after %s", len(times), l.runners, value, convergeWithin)
	}
	all := []time.Duration{}
	each := make([][]time.Duration, len(l.platforms))
	for runner, seen := range times {
		all = append(all, seen.Sub(at))
		for _, p := range l.children {
			if runner >= p.order.First && runner < p.order.First+len(p.order.Tokens) {
				each[p.platform] = append(each[p.platform], seen.Sub(at))
			}
		}
	}
	return fmt.Sprintf("%s (platform 0: %s; platform 1: %s)", percentiles(all), percentiles(each[0]), percentiles(each[1]))
}

func percentiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(share float64) time.Duration {
		return all[min(int(share*float64(len(all))), len(all)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s p90 %s p99 %s max %s", at(0.5), at(0.9), at(0.99), at(1))
}

// counts returns the responses since the last call.
func (l *load) counts() map[string]int {
	l.t.Helper()
	sum := map[string]int{}
	for _, p := range l.children {
		_, err := io.WriteString(p.in, "\n")
		require.NoError(l.t, err)
		select {
		case counts := <-p.counts:
			for what, n := range counts {
				sum[what] += n
			}
		case <-time.After(time.Minute):
			l.t.Fatal("a process of runners does not respond")
		}
	}
	return sum
}

// memory returns the memory use of the platforms, on systems that report it.
func (l *load) memory() string {
	var all []string
	for _, p := range l.platforms {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			return "unknown here"
		}
		now := regexp.MustCompile(`VmRSS:\s*(\d+)`).FindSubmatch(status)
		most := regexp.MustCompile(`VmHWM:\s*(\d+)`).FindSubmatch(status)
		if now == nil || most == nil {
			return "unknown here"
		}
		kib := func(b []byte) int { n, _ := strconv.Atoi(string(b)); return n >> 10 }
		all = append(all, fmt.Sprintf("%d MiB, and %d at most", kib(now[1]), kib(most[1])))
	}
	return strings.Join(all, "; ")
}

// writes are the writes of an administrator.
type writes struct {
	n      int
	latest map[string]int // the newest acknowledged write, by name
	tried  map[string]int // the newest attempt, by name
	failed map[string]int // the number of failures, by status code
}

const adminScope = loadScope + "/administrator"

// administer writes as an administrator, at both platforms in turn, until stop is
// called.
func (l *load) administer() (stop func() writes) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var group sync.WaitGroup
	done := writes{latest: map[string]int{}, tried: map[string]int{}, failed: map[string]int{}}
	group.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			name := fmt.Sprintf("WRITE_%d", n%20)
			done.tried[name] = n
			// A started write is not canceled, so that its outcome is known.
			err := l.tryPut(context.WithoutCancel(ctx), n%len(l.platforms), adminScope, name, fmt.Sprint("write-", n))
			if refused, ok := errors.AsType[*refusedPut](err); ok {
				done.failed[strconv.Itoa(refused.status)]++
			} else if err != nil {
				done.failed["no response"]++
			} else {
				done.n++
				done.latest[name] = n
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	l.t.Cleanup(func() { cancel(); group.Wait() })
	return func() writes {
		cancel()
		group.Wait()
		return done
	}
}

// verify checks the writes in the database.
func (l *load) verify(w writes) {
	t := l.t
	t.Helper()
	v, db, err := openLoadVault(t.Context(), l.server.DSN(), filepath.Join(l.dir, "kek"))
	require.NoError(t, err)
	defer db.Close()
	token, _, err := v.IssueToken(t.Context(), adminScope, nil)
	require.NoError(t, err)
	b, err := v.Bootstrap(t.Context(), token, nil)
	require.NoError(t, err)
	shared, _ := b.Get(loadSecret)
	require.Equal(t, "round-6", shared.Value.Reveal(), "the last rotation")
	require.NotEmpty(t, w.latest)
	for name, latest := range w.latest {
		s, ok := b.Get(name)
		require.True(t, ok, "%s was acknowledged and is missing", name)
		var found int
		_, err := fmt.Sscanf(s.Value.Reveal(), "write-%d", &found)
		require.NoError(t, err)
		require.GreaterOrEqual(t, found, latest, "%s was acknowledged with a later value", name)
		require.LessOrEqual(t, found, w.tried[name])
	}
	puts, deliveries := 0, 0
	_, err = v.VerifyAudit(t.Context(), loadScope, nil, func(_ int64, e audit.Entry) error {
		switch e.Action {
		case audit.Put:
			puts++
		case audit.Deliver:
			deliveries++
		}
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, puts, w.n)
	require.GreaterOrEqual(t, deliveries, l.runners)
}
