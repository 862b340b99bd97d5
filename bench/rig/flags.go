//go:build linux

package rig

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// CommonFlags are the flags of every mode.
type CommonFlags struct {
	targetFlags
	peerFlags
	Own     OwnServer // set by the mode
	Binary  string    // of our server, if it is built already; set by the mode
	set     *flag.FlagSet
	asJSON  bool
	out     string
	Workers int
	Ramp    int
	Quiet   time.Duration
}

// Register declares them.
func (f *CommonFlags) Register(fs *flag.FlagSet) {
	f.set = fs
	f.targetFlags.register(fs)
	fs.BoolVar(&f.asJSON, "json", false, "print JSON instead of a table")
	fs.StringVar(&f.out, "o", "", "write the JSON to this file too")
	fs.IntVar(&f.Workers, "workers", max(1, runtime.NumCPU()/4), "epoll loops of the client")
	fs.IntVar(&f.Ramp, "ramp", 256, "streams connecting at a time")
	fs.DurationVar(&f.Quiet, "timeout", 10*time.Second, "give up when nothing arrives for so long")
}

// FreshRounds refuses several rounds, each called what, that want a fresh server each,
// where the server is a running one.
func (f *CommonFlags) FreshRounds(rounds int, what string) error {
	if rounds > 1 && f.URL != "" {
		return fmt.Errorf("bench: a running server keeps what the first %s left in its heap; with -url leave -rounds at 1", what)
	}
	return nil
}

// targetFlags are the flags that name a running server.
type targetFlags struct {
	URL, API, Key, PIDs, Secret string
	Channel                     string
	Anonymous, AllowRemote      bool
	Server                      string
}

func (f *targetFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.URL, "url", "", "stream URL of a running server (default: build and start our own)")
	fs.StringVar(&f.API, "api", "", "API URL of the running server, such as http://127.0.0.1:8000/api")
	fs.StringVar(&f.Key, "key", "", "API key of the running server")
	fs.StringVar(&f.PIDs, "P", "", "process id, or comma-separated ids, of the running server (without: no CPU or memory figures)")
	fs.StringVar(&f.Secret, "token-secret", "", "HS256 secret of the running server, for the streams' tokens")
	fs.StringVar(&f.Channel, "channel", "bench", "channel that streams subscribe to")
	fs.BoolVar(&f.Anonymous, "anonymous", false, "streams carry no token")
	fs.BoolVar(&f.AllowRemote, "allow-remote", false, "measure a server that is not on a loopback address")
	fs.StringVar(&f.Server, "server", "", "start this binary instead of building the repository's")
}

// external returns the running server the flags name, or nil where none is.
func (f *targetFlags) external() (*load.Target, error) {
	if f.URL == "" {
		if f.API != "" || f.Key != "" || f.PIDs != "" || f.Secret != "" {
			return nil, errors.New("bench: -api, -key, -P and -token-secret describe a running server; give its -url too")
		}
		return nil, nil
	}
	if f.Secret == "" && !f.Anonymous {
		return nil, errors.New("bench: with -url give -token-secret SECRET, or -anonymous for streams without a token")
	}
	t := &load.Target{StreamURL: f.URL, APIURL: strings.TrimSuffix(f.API, "/"), APIKey: f.Key, Channel: f.Channel}
	if !f.Anonymous {
		t.Secret = f.Secret
	}
	for s := range strings.SplitSeq(f.PIDs, ",") {
		if s == "" {
			continue
		}
		pid, err := strconv.Atoi(s)
		if err != nil || pid <= 0 || pid > proc.MaxPID {
			return nil, fmt.Errorf("bench: -P should hold process ids, not %q", s)
		}
		t.PIDs = append(t.PIDs, pid)
	}
	return t, nil
}

// peerFlags name other servers that take turns with ours.
type peerFlags struct {
	Peers      string
	Before     string // another binary of ours
	peerCmd    string
	peerConfig string
	peerName   string
}

// RegisterPeers declares the flags of modes that peers take part in.
func (f *peerFlags) RegisterPeers(fs *flag.FlagSet) {
	fs.StringVar(&f.Peers, "peers", "", "other servers to measure in turns with ours: nchan")
	fs.StringVar(&f.Before, "before", "", "another binary of ours, such as an older one, to measure in turns with the new one, configured alike")
	fs.StringVar(&f.peerCmd, "peer-cmd", "", "command line of a server that speaks the same endpoint, such as 'centrifugo -c {config}'")
	fs.StringVar(&f.peerConfig, "peer-config", "", "template of its config file, with {port}, {key} and {secret} (default: the one of ours, JSON)")
	fs.StringVar(&f.peerName, "peer-name", "peer", "what to call it in tables")
}

// PeerCount is how many the flags name.
func (f *peerFlags) PeerCount() (n int) {
	for name := range strings.SplitSeq(f.Peers, ",") {
		if strings.TrimSpace(name) != "" {
			n++
		}
	}
	for _, program := range []string{f.Before, f.peerCmd} {
		if program != "" {
			n++
		}
	}
	return n
}
