//go:build unix

package job_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// restarting returns a job that prints its secret at its start, and a line at its
// end.
func restarting(c *satchel.Client, delay time.Duration, secrets ...string) job.Job {
	j := shell(c, `trap 'echo ended; exit 0' TERM; [ "$A" = first-value ] && echo "old $A"; [ "$A" = third-value ] && echo "new $A"
		while ! read line; do :; done; echo "$A"; exit 21`, nil, secrets...)
	j.OnRotate, j.RestartDelay = job.Restart, delay
	return j
}

func TestJob_Restart(t *testing.T) {
	t.Run("happens once for a burst of rotations, with the latest values", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := restarting(c, time.Second, "A") // a burst may take long on a busy machine
		var log transcript
		j.Logger = logTo(&log)
		r := begin(t, j)
		r.await(t, "old [A]\n")
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		refreshTo(t, c, s, bundleOf(secret("A", "third-value")))
		r.await(t, "new [A]\n")
		r.say(t, "go")
		require.Equal(t, 21, r.ends(t), "the code is that of the last process")
		require.Equal(t, "old [A]\nended\nnew [A]\n[A]\n", r.String())
		require.Equal(t, 1, strings.Count(log.String(), "restarting the job"))
	})

	t.Run("follows only a change of the job's secrets", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"), secret("B", "first-of-b"), secret("G", "first-of-g"))
		j := restarting(c, time.Millisecond, "A")
		var log transcript
		j.Logger = logTo(&log)
		j.Git = []job.GitCredential{{URL: "https://github.com", Username: "x", Secret: "G"}}
		r := begin(t, j)
		r.await(t, "old")
		s2 := secret("A", "first-value")
		s2.Version, s2.Expires = 7, time.Now().Add(time.Hour)
		refreshTo(t, c, s, bundleOf(s2, secret("B", "second-of-b"), secret("G", "second-of-g"), secret("N", "is-new")))
		r.say(t, "go") // a later process would not read this line
		require.Equal(t, 21, r.ends(t))
		require.Equal(t, "old [A]\n[A]\n", r.String())
		require.NotContains(t, log.String(), "restarting")
	})

	t.Run("is refused and logged if the new values are invalid", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := restarting(c, time.Millisecond, "A")
		var log transcript
		j.Logger = logTo(&log)
		r := begin(t, j)
		r.await(t, "old")
		refreshTo(t, c, s, bundleOf(secret("B", "value-of-b")))
		leaktest.Eventually(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), "required secrets are missing: A") })
		refreshTo(t, c, s, bundleOf(secret("C", "value-of-c")))
		refreshTo(t, c, s, bundleOf(delivered("A", "second-value", bundle.DeliverBroker)))
		leaktest.Eventually(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), "the secret A has delivery by broker") })
		require.NotContains(t, r.String(), "ended")
		require.Equal(t, 1, strings.Count(log.String(), "are missing"), "the refusal is logged once")
		refreshTo(t, c, s, bundleOf(secret("A", "third-value")))
		r.await(t, "new [A]")
		r.say(t, "go")
		require.Equal(t, 21, r.ends(t))
		require.Equal(t, "old [A]\nended\nnew [A]\n[A]\n", r.String())
	})

	t.Run("kills a program that ignores SIGTERM", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := shell(c, `trap '' TERM; echo "start $A"; while ! read line; do :; done; exit 3`, nil, "A")
		j.OnRotate, j.RestartDelay, j.Grace = job.Restart, time.Millisecond, time.Millisecond
		r := begin(t, j)
		r.await(t, "start")
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		leaktest.Eventually(t, "the job is started again", func() bool { return strings.Count(r.String(), "start [A]") == 2 })
		r.say(t, "go")
		require.Equal(t, 3, r.ends(t))
	})

	t.Run("ends the job if the context ends meanwhile", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := shell(c, `trap 'echo told; while ! read line; do :; done; exit 12' TERM; echo "start $A"; while :; do sleep 0.01; done`, nil, "A")
		j.OnRotate, j.RestartDelay = job.Restart, time.Millisecond
		r := begin(t, j)
		r.await(t, "start")
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		r.await(t, "told")
		r.cancel()
		r.say(t, "go")
		require.Equal(t, 12, r.ends(t))
		require.Equal(t, 1, strings.Count(r.String(), "start"))
		require.Equal(t, 1, strings.Count(r.String(), "told"), "the program gets SIGTERM once")
	})
}

func TestJob_Rotation(t *testing.T) {
	t.Run("replaces files before the signal", func(t *testing.T) {
		c, s := jobClient(t, delivered("KEY", "first-value", bundle.DeliverFile), delivered("OTHER", "value-of-other", bundle.DeliverFile))
		j := shell(c, `trap 'grep -q second-value "$KEY_FILE" && echo "told in time"; grep -q value-of-other "$OTHER_FILE" && exit 11' HUP; echo ready
		while :; do sleep 0.01; done`, nil, "KEY", "OTHER")
		j.OnRotate = job.Signal(syscall.SIGHUP)
		r := begin(t, j)
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(delivered("KEY", "second-value", bundle.DeliverFile), delivered("OTHER", "value-of-other", bundle.DeliverFile)))
		require.Equal(t, 11, r.ends(t))
		require.Contains(t, r.String(), "told in time\n")
	})

	t.Run("replaces files with Leave too", func(t *testing.T) {
		c, s := jobClient(t, delivered("KEY", "first-value", bundle.DeliverFile), secret("A", "first-of-a"))
		r := begin(t, shell(c, `echo ready; until grep -q second-value "$KEY_FILE"; do sleep 0.01; done; cat "$KEY_FILE"; echo; echo "$A"; ls -A "$(dirname "$KEY_FILE")"; exit 8`, nil, "KEY", "A"))
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(delivered("KEY", "second-value", bundle.DeliverFile), secret("A", "second-of-a")))
		require.Equal(t, 8, r.ends(t))
		require.Equal(t, "ready\n[KEY]\n[A]\nKEY\n", r.String(), "the program keeps running, and its directory has no other file")
	})

	t.Run("replaces a file after the delivery becomes a variable", func(t *testing.T) {
		c, s := jobClient(t, delivered("KEY", "first-value", bundle.DeliverFile))
		r := begin(t, shell(c, `echo ready; until grep -q second-value "$KEY_FILE"; do sleep 0.01; done; exit 8`, nil, "KEY"))
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(secret("KEY", "second-value")))
		require.Equal(t, 8, r.ends(t))
	})
}
