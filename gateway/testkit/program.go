package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// NeedProgram returns the path of the first of names that is on the PATH (or is a path itself). Without any the test is
// skipped, or fails when the environment has REQUIRE_E2E=1; install is the command that would help.
func NeedProgram(t testing.TB, names []string, install string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const text = "needs %s: install with `%s`"
	if os.Getenv("REQUIRE_E2E") == "1" {
		t.Fatalf(text, strings.Join(names, " or "), install)
	}
	t.Skipf(text, strings.Join(names, " or "), install)
	return ""
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago, for programs under test that must know theirs or
// keep it over a restart: prefer listening on port 0 otherwise. It is none of those that the kernel hands out, to
// connections or for port 0, so nobody takes it by chance while the program under test does not listen.
func FreePort(t testing.TB) int {
	t.Helper()
	const from, tries = 10_000, 100
	below := 32768 // Linux's default
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &below); err != nil {
			t.Fatalf("testkit: free port: range of the kernel %q: %v", text, err)
		}
	}
	var err error
	for range tries {
		port := 0
		if below > from {
			port = from + rand.IntN(below-from)
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			continue // taken
		}
		port = listener.Addr().(*net.TCPAddr).Port
		if err = listener.Close(); err == nil {
			return port
		}
	}
	t.Fatalf("testkit: free port: %v", err)
	return 0
}

// Eventually fails the test unless cond becomes true within a minute. cond runs on the caller's goroutine, every 5 ms at first
// and every 50 ms later. msg says what was waited for.
func Eventually(t testing.TB, cond func() bool, msg string) {
	t.Helper()
	EventuallyWithin(t, defaultTimeout, cond, msg)
}

// EventuallyWithin is Eventually with another deadline.
func EventuallyWithin(t testing.TB, limit time.Duration, cond func() bool, msg string) {
	t.Helper()
	if !eventually(limit, cond) {
		t.Fatalf("testkit: waited %v for: %s", limit, msg)
	}
}

// eventually polls cond, at least once and a last time behind the deadline, however long the process stood still before it.
func eventually(limit time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(limit)
	last := limit <= 0
	for pause := 5 * time.Millisecond; !cond(); pause = min(pause*3/2, 50*time.Millisecond) {
		if last {
			return false
		}
		<-time.After(min(pause, time.Until(deadline)))
		last = !time.Now().Before(deadline)
	}
	return true
}
