//go:build linux

package rig

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	json "github.com/goccy/go-json"

	"sluice/bench/load"
)

const (
	serverStartLimit = 20 * time.Second
	serverStopLimit  = 15 * time.Second
)

// server is a child process under measurement.
type server struct {
	target *load.Target
	cmd    *exec.Cmd
	log    *logTail
	exited chan struct{} // closed when the process is gone
}

// ModuleRoot is the folder of the repository, in which or below it must be called.
func ModuleRoot(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("bench: run inside the repository, or give -server BINARY or -url: go list: %w", err)
	}
	return string(bytes.TrimSpace(root)), nil
}

// BuildServer builds the repository's server into dir. It runs in the
// module's folder or below.
func BuildServer(ctx context.Context, dir string) (binary string, err error) {
	root, err := ModuleRoot(ctx)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sluice")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: go build: %w: %s", err, out)
	}
	return binary, nil
}

// knows reports whether the server program has an option of that name.
func knows(ctx context.Context, binary, option string) bool {
	return exec.CommandContext(ctx, binary, "configdoc", option).Run() == nil
}

// startServer runs binary with a config of its own on a free loopback port and
// returns when /health answers. anonymous leaves the streams without tokens.
func startServer(ctx context.Context, binary, dir, channel string, anonymous bool, own OwnServer) (*server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	inside := port
	if own.TLS {
		if own.tls, err = newCertificate(ctx); err != nil {
			return nil, err
		}
		inside = own.tls.inside
	}
	key, secret := rand.Text(), rand.Text()
	config, err := json.Marshal(serverConfig(port, key, secret, own))
	if err != nil {
		return nil, fmt.Errorf("bench: server config: %w", err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("bench: server config: %w", err)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(inside)
	s, err := spawn(ctx, exec.Command(binary, "-c", file), base+"/health")
	if err != nil {
		return nil, err
	}
	s.target = ownTarget(base, key, secret, channel, anonymous, s.cmd.Process.Pid)
	if own.TLS {
		own.tls.behind(s.target, port)
	}
	return s, nil
}

// streamPath is that of the endpoint of streams.
const streamPath = "/connection/uni_sse"

// ownTarget is a server of our kind at base.
func ownTarget(base, key, secret, channel string, anonymous bool, pid int) *load.Target {
	t := &load.Target{StreamURL: base + streamPath, APIURL: base + "/api", APIKey: key, Channel: channel, PIDs: []int{pid}}
	if !anonymous {
		t.Secret = secret
	}
	return t
}

// spawn starts a server and returns when health answers 200. The caller sets
// its target.
func spawn(ctx context.Context, cmd *exec.Cmd, health string) (*server, error) {
	return launch(ctx, cmd, health+" answered 200", func(ctx context.Context) bool { return healthy(ctx, health) })
}

// launch starts a server and returns when it is ready, which what says in words.
func launch(ctx context.Context, cmd *exec.Cmd, what string, ready func(ctx context.Context) bool) (*server, error) {
	s := &server{cmd: cmd, log: &logTail{}, exited: make(chan struct{})}
	ownGroup(s.cmd)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start the server: %w", err)
	}
	go func() {
		// How it ended is told by its log.
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	if err := s.await(ctx, what, ready); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// ownGroup keeps a child from the terminal's Ctrl-C, so that it is stopped in
// our order, and lets it die with us if we are killed.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// healthy reports whether url answers 200.
func healthy(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer http.DefaultClient.CloseIdleConnections()
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// await asks until the server is ready.
func (s *server) await(ctx context.Context, what string, ready func(ctx context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, serverStartLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("bench: the server ended before %s; its log:\n%s", what, s.log)
		case <-ctx.Done():
			return fmt.Errorf("bench: waited until %s: %w; the server's log:\n%s", what, ctx.Err(), s.log)
		case <-again.C:
		}
	}
}

// stop ends the server, at first politely, and waits for it.
func (s *server) stop() {
	if s.signal(syscall.SIGTERM); s.goneWithin(serverStopLimit) {
		return
	}
	s.signal(syscall.SIGKILL)
	<-s.exited
}

func (s *server) signal(sig os.Signal) {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		fmt.Fprintf(os.Stderr, "bench: signal to the server: %v\n", err)
	}
}

func (s *server) goneWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.exited:
		return true
	case <-timer.C:
		return false
	}
}

// explain adds the end of the server's log to an error, if it is gone.
func (s *server) explain(err error) error {
	if s == nil || err == nil || !s.goneWithin(100*time.Millisecond) {
		return err
	}
	return fmt.Errorf("%w; the server has ended, its log:\n%s", err, s.log)
}

// freePort returns a loopback port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("bench: free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// logTail keeps the last few KiB written to it. Any goroutine.
type logTail struct {
	mu sync.Mutex
	// Guarded by mu.
	tail []byte
}

const logTailSize = 8 << 10

// Write implements io.Writer and never fails.
func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - logTailSize; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}
