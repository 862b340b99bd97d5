package testkit

import (
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

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. Another process may take it: prefer listening on
// port 0 where the program under test tells its port.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testkit: free port: %v", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatalf("testkit: free port: %v", err)
	}
	return port
}

// Eventually fails the test unless cond becomes true within 10 s. cond runs on the caller's goroutine, every 5 ms at first
// and every 50 ms later. msg says what was waited for.
func Eventually(t testing.TB, cond func() bool, msg string) {
	t.Helper()
	EventuallyWithin(t, 10*time.Second, cond, msg)
}

// EventuallyWithin is Eventually with another deadline.
func EventuallyWithin(t testing.TB, limit time.Duration, cond func() bool, msg string) {
	t.Helper()
	if !eventually(limit, cond) {
		t.Fatalf("testkit: waited %v for: %s", limit, msg)
	}
}

// eventually polls cond, at least once and a last time at the deadline.
func eventually(limit time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := 5 * time.Millisecond; !cond(); pause = min(pause*3/2, 50*time.Millisecond) {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		<-time.After(min(pause, left))
	}
	return true
}
