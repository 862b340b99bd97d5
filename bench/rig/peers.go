//go:build linux

package rig

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sluice/bench/proc"

	json "github.com/goccy/go-json"
)

// BeforeSide is what another binary of ours (-before) is called in tables.
const BeforeSide = "before"

// errNoPeer says that a peer's program is missing: the run goes on without it.
var errNoPeer = errors.New("this peer is left out")

// startPeers starts what the flags name; a program that is missing is told on
// stderr and left out.
func (r *Rig) startPeers(ctx context.Context) error {
	for name := range strings.SplitSeq(r.Flags.Peers, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if name != NchanSide {
			return fmt.Errorf("bench: -peers knows nchan, not %q; start others with -peer-cmd", name)
		}
		r.Progress.Say("starting %s", name)
		s, err := startNchan(ctx, r.Dir, r.Flags.Channel, r.files)
		if errors.Is(err, errNoPeer) {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		if err := r.addPeer(ctx, name, s, err); err != nil {
			return err
		}
	}
	if r.Flags.Before != "" {
		if _, err := r.addNode(ctx, r.Flags.Before, BeforeSide, r.Flags.Own); err != nil {
			return err
		}
	}
	if r.Flags.peerCmd == "" {
		return nil
	}
	r.Progress.Say("starting %s", r.Flags.peerName)
	s, err := startPeer(ctx, r.Dir, &r.Flags.peerFlags, r.Flags.Channel, r.Flags.Anonymous)
	return r.addPeer(ctx, r.Flags.peerName, s, err)
}

// addPeer takes a peer that was started, or the error of it.
func (r *Rig) addPeer(ctx context.Context, name string, s *server, err error) error {
	if err != nil {
		return fmt.Errorf("bench: %s: %w", name, err)
	}
	h := &Host{Name: name, Server: s, Target: s.target}
	r.Peers = append(r.Peers, h)
	return h.resolve(ctx, r.Flags.AllowRemote)
}

// startPeer starts a server by its command line. It is to answer /health, and
// to serve the endpoint and the API where ours does.
func startPeer(ctx context.Context, dir string, f *peerFlags, channel string, anonymous bool) (*server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	key, secret := rand.Text(), rand.Text()
	config, err := peerConfig(f.peerConfig, port, key, secret)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "peer")
	file := filepath.Join(dir, "config.json")
	if f.peerConfig != "" {
		file = filepath.Join(dir, "config"+filepath.Ext(f.peerConfig))
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, config, 0o600)); err != nil {
		return nil, fmt.Errorf("bench: -peer-cmd: %w", err)
	}
	args := peerArgs(f.peerCmd, file, port)
	if len(args) == 0 {
		return nil, fmt.Errorf("bench: -peer-cmd should be a command line with {config} or {port}, not %q", f.peerCmd)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	s, err := spawn(ctx, exec.Command(args[0], args[1:]...), base+"/health")
	if err != nil {
		return nil, err
	}
	s.target = ownTarget(base, key, secret, channel, anonymous, s.cmd.Process.Pid)
	return s, nil
}

// peerArgs fills in a command line; words are split at blanks.
func peerArgs(line, config string, port int) []string {
	args := strings.Fields(line)
	fill := strings.NewReplacer("{config}", config, "{port}", strconv.Itoa(port))
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	return args
}

// peerConfig is the config file of a peer, from the template in file.
func peerConfig(file string, port int, key, secret string) ([]byte, error) {
	if file == "" {
		config, err := json.Marshal(serverConfig(port, key, secret, OwnServer{}))
		if err != nil {
			return nil, fmt.Errorf("bench: -peer-cmd: %w", err)
		}
		return config, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("bench: -peer-config: %w", err)
	}
	return []byte(strings.NewReplacer("{port}", strconv.Itoa(port), "{key}", key, "{secret}", secret).Replace(string(text))), nil
}

// peerSettle is how long after its last response head a stream of a server
// that does not greet may still be on its way into the channel.
const peerSettle = 500 * time.Millisecond

// Settle waits until streams that are open are subscribed too.
func (h *Host) Settle(ctx context.Context) error {
	if h.Target.Dialect().Greets() {
		return nil
	}
	return proc.Pause(ctx, peerSettle)
}
