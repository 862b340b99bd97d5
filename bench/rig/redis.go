//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNoProgram says that a program which a mode needs is not installed.
var ErrNoProgram = errors.New("bench: this mode needs a program that is not installed")

// The programs of Redis that a run needs, and the packages that have them.
const (
	redisServer    = "redis-server"
	redisCLI       = "redis-cli"
	redisBenchmark = "redis-benchmark"
	redisMissing   = "apt-get install redis-server redis-tools"
)

// Redis is a redis-server that keeps nothing on disk. Any goroutine.
type Redis struct {
	server *server
	port   string
	paths  map[string]string
}

// StartRedis starts one on a free loopback port, with a folder of its own below dir.
// ErrNoProgram: it, or one of the tools of it, is not installed.
func StartRedis(ctx context.Context, dir string) (*Redis, error) {
	r := &Redis{paths: map[string]string{}}
	for _, name := range []string{redisServer, redisCLI, redisBenchmark} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s (%s)", ErrNoProgram, name, redisMissing)
		}
		r.paths[name] = path
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: redis: %w", err)
	}
	r.port = strconv.Itoa(port)
	cmd := exec.Command(r.paths[redisServer], "--bind", "127.0.0.1", "--port", r.port, "--dir", dir, "--save", "", "--appendonly", "no")
	r.server, err = launch(ctx, cmd, redisServer+" answered a PING", func(ctx context.Context) bool {
		out, err := r.Ask(ctx, "PING")
		return err == nil && strings.TrimSpace(out) == "PONG"
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Addr is host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", r.port) }

// PIDs are its processes.
func (r *Redis) PIDs() []int { return []int{r.server.cmd.Process.Pid} }

// Ask returns what redis-cli prints for a command.
func (r *Redis) Ask(ctx context.Context, command ...string) (string, error) {
	return output(r.CLI(ctx, command...))
}

// CLI is redis-cli with a command, to be started.
func (r *Redis) CLI(ctx context.Context, command ...string) *exec.Cmd {
	return r.tool(ctx, redisCLI, command)
}

// Benchmark returns what redis-benchmark prints for its arguments.
func (r *Redis) Benchmark(ctx context.Context, args ...string) (string, error) {
	return output(r.tool(ctx, redisBenchmark, args))
}

func (r *Redis) tool(ctx context.Context, name string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.paths[name], append([]string{"-h", "127.0.0.1", "-p", r.port}, args...)...)
	ownGroup(cmd)
	return cmd
}

// output runs a tool, whose error has what it said.
func output(cmd *exec.Cmd) (string, error) {
	var said logTail
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bench: %s: %w: %s%s", filepath.Base(cmd.Path), err, &said, tail(out))
	}
	return string(out), nil
}

// tail is the end of what a tool printed.
func tail(b []byte) string {
	const most = 500
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// Stop ends the server and waits for it.
func (r *Redis) Stop() { r.server.stop() }
