//go:build linux

package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// natsModule is what the nats-server of a run is built from: the version of go.mod.
const natsModule = "github.com/nats-io/nats-server/v2"

// NATS is a nats-server with JetStream. Any goroutine.
type NATS struct {
	server *server
	port   string
}

// StartNATS starts one on a free loopback port, with a folder of its own below dir, into which it is built
// first if binary is "".
func StartNATS(ctx context.Context, dir, binary string) (*NATS, error) {
	dir = filepath.Join(dir, "nats")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: nats: %w", err)
	}
	if binary == "" {
		binary = filepath.Join(dir, "nats-server")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, natsModule).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: go build %s: %w: %s", ErrNoProgram, natsModule, err, tail(out))
		}
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	n := &NATS{port: strconv.Itoa(port)}
	cmd := exec.Command(binary, "-a", "127.0.0.1", "-p", n.port, "-js", "-sd", filepath.Join(dir, "data"))
	var dialer net.Dialer
	n.server, err = launch(ctx, cmd, "nats-server takes connections", func(ctx context.Context) bool {
		conn, err := dialer.DialContext(ctx, "tcp", n.Addr())
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Addr is host:port.
func (n *NATS) Addr() string { return net.JoinHostPort("127.0.0.1", n.port) }

// Stop ends the server and waits for it.
func (n *NATS) Stop() { n.server.stop() }
