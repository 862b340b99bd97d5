//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunModeToldApartWrongUseAndFailure(t *testing.T) {
	byName := map[string]mode{}
	for _, m := range modes {
		require.NotContains(t, byName, m.name)
		byName[m.name] = m
	}
	f := func(want int, name string, args ...string) {
		t.Helper()
		require.Equal(t, want, runMode(byName[name], args), strings.Join(args, " "))
	}
	f(0, "fan-out", "-h")
	f(exitUsage, "fan-out", "-no-such-flag")
	f(exitUsage, "idle", "5000")
	f(exitFailed, "fan-out", "-pattern", "sideways")
	f(exitUsage, "resume", "10")
	f(exitFailed, "resume", "-missed", "0")
	f(exitFailed, "connect", "-rounds", "0")
	f(exitFailed, "engine", "-rounds", "0")
	f(exitFailed, "idle", "-url", "http://192.0.2.1/x", "-anonymous")
}
