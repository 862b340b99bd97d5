package testkit

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNeedProgramFindsTheFirstThatIsThere(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"two", "three"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	if got := NeedProgram(t, []string{"one", "two", "three"}, "make two"); got != filepath.Join(dir, "two") {
		t.Fatalf("got %q", got)
	}
}

func TestNeedProgramSkipsOrFailsWithTheCommandThatHelps(t *testing.T) {
	const text = "needs a or b: install with `apt-get install ab`"
	need := func(t testing.TB) { NeedProgram(t, []string{"a", "b"}, "apt-get install ab") }
	t.Setenv("PATH", t.TempDir())
	t.Setenv("REQUIRE_E2E", "")
	if f := try(need); len(f.skips) != 1 || f.skips[0] != text || f.Failed() {
		t.Fatalf("expected a skip with %q, got %q, failures %q", text, f.skips, f.failures)
	}
	t.Setenv("REQUIRE_E2E", "1")
	mustFail(t, need, text)
}

func TestFreePortCanBeListenedOn(t *testing.T) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

func TestEventuallyPollsUntilTrue(t *testing.T) {
	calls := 0
	Eventually(t, func() bool { calls++; return calls == 3 }, "three calls")
	if calls != 3 {
		t.Fatalf("expected 3 calls, got %d", calls)
	}
}

func TestEventuallyFailsAfterItsLimit(t *testing.T) {
	calls := 0
	mustFail(t, func(t testing.TB) {
		EventuallyWithin(t, time.Millisecond, func() bool { calls++; return false }, "the impossible")
	}, "waited 1ms for: the impossible")
	if calls < 2 {
		t.Fatalf("expected a look at the start and one at the deadline, got %d", calls)
	}
	// A condition that holds is seen even with no time at all.
	EventuallyWithin(t, 0, func() bool { return true }, "nothing")
	if f := try(func(t testing.TB) { EventuallyWithin(t, 0, func() bool { return false }, "x") }); len(f.failures) != 1 || !strings.Contains(f.failures[0], "x") {
		t.Fatalf("got %q", f.failures)
	}
}
