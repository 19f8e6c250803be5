package calmlog_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/calmlog"
)

func TestNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := calmlog.New(slog.New(slog.NewTextHandler(&out, nil)))
		more := log.With("more", "x").WithGroup("g")
		lines := func(what string) int { return strings.Count(out.String(), "msg="+what+" ") }
		for i := range 1_000 {
			log.Info("often", "i", i)
			more.Info("often", "i", i)
			log.Warn("often", "i", i)
		}
		require.Equal(t, 2*calmlog.Most, lines("often"), "Most lines of each level, from all derived loggers together")
		log.Info("seldom", "i", 1)
		require.Equal(t, 1, lines("seldom"), "other messages have their own limit")
		time.Sleep(10 * time.Second)
		out.Reset()
		log.Info("often", "i", 0)
		require.Contains(t, out.String(), "omitted=1980", "the next line has the number of dropped lines")
		out.Reset()
		log.Info("often", "i", 0)
		require.NotContains(t, out.String(), "omitted")
		require.Same(t, log, calmlog.New(log), "New returns a logger of New unchanged")
	})
}
