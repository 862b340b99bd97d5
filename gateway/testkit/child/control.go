package child

import (
	"syscall"
	"testing"
)

// Control is a process that a test stops, kills and freezes. Its methods fail the test and are for its goroutine.
type Control struct{ of *Process }

// Control returns that of a process.
func (p *Process) Control() Control { return Control{p} }

// Stop ends it in good order (SIGTERM) and waits for it.
func (c Control) Stop(t testing.TB) { t.Helper(); c.done(t, c.of.End(syscall.SIGTERM)) }

// Kill ends it at once (SIGKILL) and waits for it.
func (c Control) Kill(t testing.TB) { t.Helper(); c.done(t, c.of.End(syscall.SIGKILL)) }

// Freeze lets it stand still (SIGSTOP), and waits until it does: its connections stay open and nobody answers. The test's
// end thaws it.
func (c Control) Freeze(t testing.TB) {
	t.Helper()
	c.done(t, c.of.Signal(syscall.SIGSTOP))
	c.of.mu.Lock()
	pid := c.of.pid
	c.of.mu.Unlock()
	if pid != 0 && !Within(Patience, func() bool { return standing(pid) }) {
		t.Fatalf("child: %s goes on behind SIGSTOP", c.of.Path)
	}
}

// Thaw lets it go on.
func (c Control) Thaw(t testing.TB) { t.Helper(); c.done(t, c.of.Signal(syscall.SIGCONT)) }

func (c Control) done(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
