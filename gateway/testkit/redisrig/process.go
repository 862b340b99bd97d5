package redisrig

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

// patience is how long anything of the rig may take before it is stuck.
const patience = time.Minute

// process is a child in a folder of its own. Why by its number, and not an os.Process: a server that outlives the test that
// began it must leave no goroutine or descriptor that a leak check of that test would find. The number is ours until wait
// has taken the child's end.
type process struct {
	// Immutable after it was made.
	path string
	args []string
	dir  string // also of its log

	// Guarded by mu.
	mu  sync.Mutex
	pid int // 0: it does not run
}

// logName is where in its folder a process writes what it says.
const logName = "log"

// start begins it; it appends to the log.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		return fmt.Errorf("redisrig: start %s: it runs already", p.path)
	}
	log, err := os.OpenFile(filepath.Join(p.dir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("redisrig: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.dir, log, log, ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("redisrig: start: %w", err)
	}
	p.pid = cmd.Process.Pid
	return cmd.Process.Release()
}

// ended reports whether it does not run; it takes the end of one that did.
func (p *process) ended() bool {
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

// signal sends a signal to its group; to none if it does not run.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return nil
	}
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("redisrig: signal %v: %w", sig, err)
	}
	return nil
}

// end ends it by a signal, also when it is frozen, and waits for it.
func (p *process) end(sig syscall.Signal) error {
	if err := errors.Join(p.signal(sig), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if !within(patience, p.ended) {
		return fmt.Errorf("redisrig: %s runs %v after %v; its log ends\n%s", p.path, patience, sig, p.logTail())
	}
	return nil
}

// logTail is the end of what it said.
func (p *process) logTail() string {
	const most = 4 << 10
	text, err := os.ReadFile(filepath.Join(p.dir, logName))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// within polls cond, every millisecond at first, and says whether it became true in time.
func within(limit time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; !cond(); pause = min(pause*3/2, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
