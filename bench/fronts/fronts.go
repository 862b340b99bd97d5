// Package fronts has the proxies that a gateway may stand behind, as child processes on
// loopback: nginx, HAProxy, Caddy and Varnish, each in the plainest configuration that
// passes requests on, and in the one of the folder gateway/deploy/fronts. The mode fronts
// measures them, and the end-to-end tests try them.
package fronts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Kind is a program in one configuration.
type Kind struct {
	Name     string
	Programs []string // its names, the first that is there counts
	Install  string   // the command that brings it
	// Plain: nothing is set but what must be. Otherwise it is the file of the folder.
	Plain bool
	// Close: it needs uni_sse.framing: close, for it is late with chunks.
	Close bool

	command func(program string, s Setup) (*exec.Cmd, string, error)
}

// Setup is where a program is to run.
type Setup struct {
	Files  string        // the folder gateway/deploy/fronts
	Dir    string        // for its own files; it must be there
	Port   int           // of 127.0.0.1
	Origin string        // host:port of the gateway
	Idle   time.Duration // how long it lets streams be silent, whole seconds
}

// ErrMissing: the program is not installed.
var ErrMissing = errors.New("the program is not installed")

var (
	nginxPrograms   = []string{"nginx", "/usr/sbin/nginx"}
	haproxyPrograms = []string{"haproxy", "/usr/sbin/haproxy"}
	caddyPrograms   = []string{"caddy"}
	varnishPrograms = []string{"varnishd", "/usr/sbin/varnishd"}
)

const apt = "apt-get install "

// Kinds returns all of them: of each program the plain one and the recommended one.
func Kinds() []Kind {
	return []Kind{
		{Name: "nginx_plain", Programs: nginxPrograms, Install: apt + "nginx", Plain: true, command: plainNginx},
		{Name: "nginx", Programs: nginxPrograms, Install: apt + "nginx", command: nginx},
		{Name: "haproxy_plain", Programs: haproxyPrograms, Install: apt + "haproxy", Plain: true, Close: true, command: plainHAProxy},
		{Name: "haproxy", Programs: haproxyPrograms, Install: apt + "haproxy", command: haproxy},
		{Name: "caddy_plain", Programs: caddyPrograms, Install: apt + "caddy", Plain: true, command: plainCaddy},
		{Name: "caddy", Programs: caddyPrograms, Install: apt + "caddy", command: caddy},
		{Name: "varnish_plain", Programs: varnishPrograms, Install: apt + "varnish", Plain: true, command: plainVarnish},
		{Name: "varnish", Programs: varnishPrograms, Install: apt + "varnish", command: varnish},
	}
}

// Named is the kind of a name, which must be one of Kinds.
func Named(name string) Kind {
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	panic("fronts: no front is called " + name)
}

// Command returns the program, not started, and its configuration for error messages. It
// stays in the foreground and ends at SIGTERM. The error is ErrMissing, or of files.
func (k Kind) Command(s Setup) (cmd *exec.Cmd, text string, err error) {
	for _, name := range k.Programs {
		if program, err := exec.LookPath(name); err == nil {
			return k.command(program, s)
		}
	}
	return nil, "", fmt.Errorf("%s: %w: %s", k.Programs[0], ErrMissing, k.Install)
}

// recommended is a file of the folder with changes, pairs of what is there and what is to
// stand for it. Each must be there exactly once.
func (s Setup) recommended(name string, changes ...string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(s.Files, name))
	if err != nil {
		return "", fmt.Errorf("fronts: %w", err)
	}
	text := string(raw)
	for i := 0; i < len(changes); i += 2 {
		if n := strings.Count(text, changes[i]); n != 1 {
			return "", fmt.Errorf("fronts: %s should have %q once, not %d times", name, changes[i], n)
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text, nil
}

// write writes a file of the program's own and returns where it is.
func (s Setup) write(name, text string) (string, error) {
	file := filepath.Join(s.Dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("fronts: %w", err)
	}
	return file, nil
}

func (s Setup) idle() int { return int(s.Idle / time.Second) }
