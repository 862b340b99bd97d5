// Package child is programs that tests start: in a folder of their own, ended with the test process whatever ends that,
// stopped and killed by their number. The rigs of servers stand on it.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Patience is how long a child may take for anything before it is stuck.
const Patience = time.Minute

// Process is a child in a folder of its own. Why by its number, and not an os.Process: a server that outlives the test that
// began it must leave no goroutine or descriptor that a leak check of that test would find. The number is ours until wait
// has taken the child's end.
type Process struct {
	// Immutable after it was made.
	Path string
	Args []string
	Dir  string // also of its log

	// Guarded by mu.
	mu  sync.Mutex
	pid int // 0: it does not run
}

// LogName is where in its folder a process writes what it says.
const LogName = "log"

// Start begins it; it appends to the log.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		return fmt.Errorf("child: start %s: it runs already", p.Path)
	}
	log, err := os.OpenFile(filepath.Join(p.Dir, LogName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("child: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.Dir, log, log, ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("child: start: %w", err)
	}
	p.pid = cmd.Process.Pid
	return cmd.Process.Release()
}

// Ended reports whether it does not run; it takes the end of one that did.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return true
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil)
	if pid == p.pid || errors.Is(err, syscall.ECHILD) {
		p.pid = 0
	}
	return p.pid == 0
}

// Signal sends a signal to its group; to none if it does not run.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return nil
	}
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("child: signal %v: %w", sig, err)
	}
	return nil
}

// End ends it by a signal, also when it is frozen, and waits for it.
func (p *Process) End(sig syscall.Signal) error {
	if err := errors.Join(p.Signal(sig), p.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if !Within(Patience, p.Ended) {
		return fmt.Errorf("child: %s runs %v after %v; its log ends\n%s", p.Path, Patience, sig, p.LogTail())
	}
	return nil
}

// LogTail is the end of what it said.
func (p *Process) LogTail() string {
	const most = 4 << 10
	text, err := os.ReadFile(filepath.Join(p.Dir, LogName))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// Within polls cond, every millisecond at first, and says whether it became true in time.
func Within(limit time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; !cond(); pause = min(pause*3/2, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
