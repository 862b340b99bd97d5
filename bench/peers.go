//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	json "github.com/goccy/go-json"
	"github.com/prometheus/procfs"
)

// peerFlags name other servers that take turns with ours.
type peerFlags struct {
	peers      string
	peerCmd    string
	peerConfig string
	peerName   string
}

func (f *peerFlags) registerPeers(fs *flag.FlagSet) {
	fs.StringVar(&f.peers, "peers", "", "other servers to measure in turns with ours: nchan")
	fs.StringVar(&f.peerCmd, "peer-cmd", "", "command line of a server that speaks the same endpoint, such as 'centrifugo -c {config}'")
	fs.StringVar(&f.peerConfig, "peer-config", "", "template of its config file, with {port}, {key} and {secret} (default: the one of ours, JSON)")
	fs.StringVar(&f.peerName, "peer-name", "peer", "what to call it in tables")
}

// peerCount is how many the flags name.
func (f *peerFlags) peerCount() (n int) {
	for name := range strings.SplitSeq(f.peers, ",") {
		if strings.TrimSpace(name) != "" {
			n++
		}
	}
	if f.peerCmd != "" {
		n++
	}
	return n
}

// errNoPeer says that a peer's program is missing: the run goes on without it.
var errNoPeer = errors.New("this peer is left out")

// nchanName is the peer that Debian's packages bring.
const nchanName = "nchan"

const nchanMissing = "apt-get install nginx libnginx-mod-nchan"

// startPeers starts what the flags name; a program that is missing is told on
// stderr and left out.
func (r *rig) startPeers(ctx context.Context) error {
	for name := range strings.SplitSeq(r.flags.peers, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if name != nchanName {
			return fmt.Errorf("bench: -peers knows nchan, not %q; start others with -peer-cmd", name)
		}
		r.progress.say("starting %s", name)
		s, err := startNchan(ctx, r.dir, r.flags.channel, r.files)
		if errors.Is(err, errNoPeer) {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		if err := r.addPeer(ctx, name, s, err); err != nil {
			return err
		}
	}
	if r.flags.peerCmd == "" {
		return nil
	}
	r.progress.say("starting %s", r.flags.peerName)
	s, err := startPeer(ctx, r.dir, &r.flags.peerFlags, r.flags.channel, r.flags.anonymous)
	return r.addPeer(ctx, r.flags.peerName, s, err)
}

// addPeer takes a peer that was started, or the error of it.
func (r *rig) addPeer(ctx context.Context, name string, s *server, err error) error {
	if err != nil {
		return fmt.Errorf("bench: %s: %w", name, err)
	}
	h := &host{name: name, server: s, target: s.target}
	r.peers = append(r.peers, h)
	return h.resolve(ctx, r.flags.allowRemote)
}

//go:embed peers/nchan/nginx.conf.tmpl
var nchanTemplate string

// nchanModules is where distributions put the module.
var nchanModules = []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules"}

const nchanModule = "ngx_nchan_module.so"

// findNchan returns the program and the module.
func findNchan() (binary, module string, err error) {
	if binary, err = exec.LookPath("nginx"); err != nil {
		binary, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return "", "", fmt.Errorf("bench: nginx is not installed: %s; %w", nchanMissing, errNoPeer)
	}
	for _, dir := range nchanModules {
		module = filepath.Join(dir, nchanModule)
		if _, err := os.Stat(module); err == nil {
			return binary, module, nil
		}
	}
	return "", "", fmt.Errorf("bench: nginx has no %s: %s; %w", nchanModule, nchanMissing, errNoPeer)
}

// nchanSettings fill the template.
type nchanSettings struct {
	Module        string
	Port          int
	Files, Buffer int
	Root          bool
}

// nchanBuffer is how many messages a channel keeps for who asks again.
const nchanBuffer = 64

func nchanConfig(s nchanSettings) ([]byte, error) {
	t, err := template.New("nginx.conf").Parse(nchanTemplate)
	if err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	return b.Bytes(), nil
}

// startNchan starts nginx with a folder of its own on a free port, for so many
// files per worker.
func startNchan(ctx context.Context, dir, channel string, files int) (*server, error) {
	binary, module, err := findNchan()
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	config, err := nchanConfig(nchanSettings{Module: module, Port: port, Files: files, Buffer: nchanBuffer, Root: os.Geteuid() == 0})
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(dir, nchanName)
	file := filepath.Join(prefix, "nginx.conf")
	if err := errors.Join(os.MkdirAll(prefix, 0o700), os.WriteFile(file, config, 0o600)); err != nil {
		return nil, fmt.Errorf("bench: nchan: %w", err)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	s, err := spawn(ctx, exec.Command(binary, "-p", prefix, "-c", file, "-e", filepath.Join(prefix, "error.log")), base+"/health")
	if err != nil {
		return nil, err
	}
	workers, err := childrenOf(s.cmd.Process.Pid)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.target = &target{
		streamURL: base + "/sub", apiURL: base + "/pub", channel: channel, speaks: nchan{},
		pids: append(workers, s.cmd.Process.Pid),
	}
	return s, nil
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(pid int) (children []int, err error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("bench: processes: %w", err)
	}
	for _, p := range all {
		// A process may end while it is looked at.
		if stat, err := p.Stat(); err == nil && stat.PPID == pid {
			children = append(children, p.PID)
		}
	}
	return children, nil
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
		config, err := json.Marshal(serverConfig(port, key, secret, ownServer{}))
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

// settle waits until streams that are open are subscribed too.
func (h *host) settle(ctx context.Context) error {
	if h.target.dialect().greets() {
		return nil
	}
	timer := time.NewTimer(peerSettle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
