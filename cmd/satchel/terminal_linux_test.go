package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/testenv"
)

// session is the program at its own terminal.
type session struct {
	keyboard *os.File // the other end of the terminal
	screen   *safeBuffer
	cmd      *exec.Cmd
	read     chan struct{} // closed when the screen has everything
	seen     int           // the length of the screen that expect has matched
}

// openTerminal returns both ends of a new terminal.
func openTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testenv.Lacks(t, "this machine lacks a terminal: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return keyboard, tty
}

// startSession starts the program at a terminal. env is added to the
// environment.
func startSession(t *testing.T, env []string, args ...string) *session {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	keyboard, tty := openTerminal(t)
	s := &session{keyboard: keyboard, screen: &safeBuffer{grown: make(chan struct{}, 1)}, read: make(chan struct{})}
	s.cmd = exec.CommandContext(t.Context(), executable, args...)
	s.cmd.Env = append(append(os.Environ(), asMain+"=1", "TERM=xterm"), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, s.cmd.Start())
	require.NoError(t, tty.Close())
	go func() {
		defer close(s.read)
		_, _ = io.Copy(s.screen, keyboard) // ends with EIO after the program
	}()
	return s
}

// expect waits until text appears after the last expected text.
func (s *session) expect(t *testing.T, text string) {
	t.Helper()
	for {
		screen := s.screen.String()
		if i := strings.Index(screen[s.seen:], text); i >= 0 {
			s.seen += i + len(text)
			return
		}
		select {
		case <-s.screen.grown:
		case <-s.read:
			if !strings.Contains(s.screen.String()[s.seen:], text) {
				require.Fail(t, "the program ended", "without %q:\n%s", text, s.screen)
			}
		}
	}
}

// answer waits for a question and types a line.
func (s *session) answer(t *testing.T, question, line string) {
	t.Helper()
	s.expect(t, question)
	s.expect(t, ": ")
	_, err := io.WriteString(s.keyboard, line+"\n")
	require.NoError(t, err)
}

// end waits for the program and returns its code and the screen.
func (s *session) end(t *testing.T) (code int, screen string) {
	t.Helper()
	err := s.cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else {
		require.NoError(t, err)
	}
	<-s.read
	return code, strings.ReplaceAll(s.screen.String(), "\r\n", "\n")
}

func TestSetup_Terminal(t *testing.T) {
	t.Run("asks and shows no credential", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		s := startSession(t, []string{"SSL_CERT_FILE=" + p.ca, adminTokenName + "="}, "setup")
		s.answer(t, "URL of the platform", "satchel")
		s.answer(t, "URL of the platform", p.url+"/")
		s.answer(t, "Scope of the runner", "acme/web")
		s.answer(t, "(hidden)", adminToken)
		s.answer(t, "Backend", "cloud")
		s.answer(t, "want platform or local", "")
		s.answer(t, "Concurrent jobs", "many")
		s.answer(t, "want a number", "4")
		s.expect(t, "required")
		s.answer(t, "Connect (yes or no)", "")
		code, screen := s.end(t)
		require.Zero(t, code, screen)
		leaktest.NoCanary(t, screen, "the screen", canaries...)
		require.Contains(t, screen, "\x1b[32mready\x1b[0m", "a terminal gets colors")
		require.Equal(t, p.url, lineOf(t, urlName))
		settings, err := runnerHome(t).readSettings()
		require.NoError(t, err)
		require.Equal(t, 4, settings.Pool)
	})

	t.Run("changes nothing when canceled", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		flags := []string{"setup", "--platform", p.url, "--scope", "acme/web", "--backend", "local", "--pool", "1"}
		env := []string{"SSL_CERT_FILE=" + p.ca, "NO_COLOR=1"}

		s := startSession(t, env, flags...)
		s.answer(t, "Connect (yes or no)", "no")
		code, screen := s.end(t)
		require.Equal(t, codeFailed, code, screen)
		require.Contains(t, screen, "nothing was changed")
		require.NotContains(t, screen, "\x1b", "NO_COLOR is honored")

		s = startSession(t, env, flags...)
		s.answer(t, "Connect (yes or no)", "\x04") // end of input
		code, screen = s.end(t)
		require.Equal(t, codeFailed, code, screen)
		require.Contains(t, screen, "the input ended; nothing was changed")

		s = startSession(t, append(env, adminTokenName+"="), flags...)
		s.answer(t, "(hidden)", "")
		code, screen = s.end(t)
		require.Equal(t, codeFailed, code, screen)
		require.Contains(t, screen, "missing administrator's token; nothing was changed")

		s = startSession(t, append(env, adminTokenName+"="), flags...)
		s.answer(t, "(hidden)", "\x03") // SIGINT
		code, screen = s.end(t)
		require.Equal(t, codeFailed, code, screen)
		terminal, err := unix.IoctlGetTermios(int(s.keyboard.Fd()), unix.TCGETS)
		require.NoError(t, err)
		require.NotZero(t, terminal.Lflag&unix.ECHO, "the echo is restored")

		left, err := os.ReadDir(".")
		require.NoError(t, err)
		require.Empty(t, left)
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Empty(t, tokens)
	})
}
