//go:build linux

package rig

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
)

// FreePort is a port of loopback for a program that must be told its own.
func FreePort(ctx context.Context) (int, error) { return freePort(ctx) }

// AddFront starts a proxy on a port of loopback, through which the streams of behind are
// to be reached, as a peer: publications go to behind itself.
func (r *Rig) AddFront(ctx context.Context, name string, cmd *exec.Cmd, port int, behind *Host) (*Host, error) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s, err := launch(ctx, cmd, addr+" served", func(ctx context.Context) bool {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		return err == nil && c.Close() == nil
	})
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	target := *behind.Target
	u := *behind.StreamURL
	u.Host = addr
	target.StreamURL = u.String()
	s.target = &target
	if err := r.addPeer(ctx, name, s, nil); err != nil {
		return nil, err
	}
	return r.Peers[len(r.Peers)-1], nil
}
