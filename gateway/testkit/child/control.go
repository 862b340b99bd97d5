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

// Freeze lets it stand still (SIGSTOP): its connections stay open and nobody answers. The test's end thaws it.
func (c Control) Freeze(t testing.TB) { t.Helper(); c.done(t, c.of.Signal(syscall.SIGSTOP)) }

// Thaw lets it go on.
func (c Control) Thaw(t testing.TB) { t.Helper(); c.done(t, c.of.Signal(syscall.SIGCONT)) }

func (c Control) done(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
