//go:build e2e

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

const frontsDir = "../deploy/fronts/"

// frontKind is a program before a gateway, in one of two configurations: the plainest that
// passes requests on, and the one of the folder fronts.
type frontKind struct {
	name string
	// command is the program with its files in dir; idle is its limit for streams that are
	// silent, where it has one.
	command func(t *testing.T, dir string, port int, origin string, idle time.Duration) (cmd *exec.Cmd, text string)
	// framing is what the gateway must set for it.
	framing string
	plain   bool
}

// frontKinds are all of them.
var frontKinds = []frontKind{
	{"nginx_plain", plainNginx, "chunked", true},
	{"nginx", recommendedNginx, "chunked", false},
	// Chunks are 0.2 s late in HAProxy unless it is told otherwise.
	{"haproxy_plain", plainHAProxy, "close", true},
	{"haproxy", recommendedHAProxy, "chunked", false},
	{"caddy_plain", plainCaddy, "chunked", true},
	{"caddy", recommendedCaddy, "chunked", false},
	{"varnish_plain", plainVarnish, "chunked", true},
	{"varnish", recommendedVarnish, "chunked", false},
}

// kindOfFront is the kind with a name.
func kindOfFront(t *testing.T, name string) frontKind {
	t.Helper()
	for _, k := range frontKinds {
		if k.name == name {
			return k
		}
	}
	t.Fatalf("no front is called %s", name)
	return frontKind{}
}

// liveFront is one that runs.
type liveFront struct {
	frontKind
	addr    string
	dir     string // its files
	stop    func()
	restart func() // behind stop: with the same configuration on the same port
}

func (k frontKind) start(t *testing.T, origin string, idle time.Duration) *liveFront {
	t.Helper()
	port, dir := testkit.FreePort(t), t.TempDir()
	f := &liveFront{frontKind: k, addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	f.restart = func() {
		cmd, text := k.command(t, dir, port, origin, idle)
		_, f.stop = runFront(t, cmd, port, text)
	}
	f.restart()
	return f
}

// startFrontOrigin is a gateway behind fronts with a kind of framing, and recoverable
// channels rec:*.
func startFrontOrigin(t *testing.T, framing string, ping time.Duration) *server {
	t.Helper()
	return startText(t, frontOriginText(framing, ping), nil)
}

// frontOriginText is its configuration.
func frontOriginText(framing string, ping time.Duration) string {
	return fmt.Sprintf(baseConfig, fmt.Sprintf(`, "framing": %q, "retry": "100ms"`, framing), "",
		fmt.Sprintf(`, "ping_interval": %q`, ping),
		`, "namespaces": [{"name": "rec", "history_size": 10000, "history_ttl": "10m", "force_recovery": true,
			"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}]`)
}

// recommended is a file of the folder fronts with changes, each of which must be made
// exactly once.
func recommended(t *testing.T, name string, changes ...string) string {
	t.Helper()
	raw, err := os.ReadFile(frontsDir + name)
	require.NoError(t, err)
	text := string(raw)
	for i := 0; i < len(changes); i += 2 {
		require.Equal(t, 1, strings.Count(text, changes[i]), "%s: %q", name, changes[i])
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func plainNginx(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return nginxCommand(t, dir, fmt.Sprintf("proxy_read_timeout %ds; server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; } }",
		seconds(idle), port, origin))
}

func recommendedNginx(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	limit := fmt.Sprintf("proxy_read_timeout %ds;", seconds(idle))
	return nginxCommand(t, dir, recommended(t, "nginx.conf", "server 127.0.0.1:8000;", "server "+origin+";",
		"listen 8080;", fmt.Sprintf("listen 127.0.0.1:%d;", port),
		"proxy_read_timeout 60s;   ", limit+"   ", "proxy_read_timeout 30s;\n", limit+"\n",
		"access_log /var/log/nginx/", "access_log "+dir+"/", "error_log /var/log/nginx/", "error_log "+dir+"/"))
}

func haproxyCommand(t *testing.T, dir, text string) (*exec.Cmd, string) {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"haproxy", "/usr/sbin/haproxy"}, "apt-get install haproxy")
	file := filepath.Join(dir, "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return exec.Command(program, "-db", "-f", file), text
}

func plainHAProxy(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return haproxyCommand(t, dir, fmt.Sprintf(`
defaults
    mode http
    timeout connect 5s
    timeout client %[1]ds
    timeout server %[1]ds
frontend streams
    bind 127.0.0.1:%[2]d
    default_backend sluice
backend sluice
    server sluice-1 %[3]s
`, seconds(idle), port, origin))
}

func recommendedHAProxy(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return haproxyCommand(t, dir, recommended(t, "haproxy.cfg", "maxconn 200000", "maxconn 5000",
		"    bind :8080\n", fmt.Sprintf("    bind 127.0.0.1:%d\n", port), "server sluice-1 127.0.0.1:8000", "server sluice-1 "+origin,
		"timeout client 60s", fmt.Sprintf("timeout client %ds", seconds(idle)),
		"timeout server 60s", fmt.Sprintf("timeout server %ds", seconds(idle))))
}

func caddyCommand(t *testing.T, dir, text string) (*exec.Cmd, string) {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"caddy"}, "apt-get install caddy")
	file := filepath.Join(dir, "Caddyfile")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := exec.Command(program, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return cmd, text
}

// caddyIdle is what Caddy has no default for: how long it waits for bytes of a gateway.
func caddyIdle(origin string, idle time.Duration) string {
	return fmt.Sprintf("reverse_proxy %s {\ntransport http {\nread_timeout %ds\n}\n}\n", origin, seconds(idle))
}

// plainCaddy does not wait for streams when it ends, which it would do for ever.
func plainCaddy(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return caddyCommand(t, dir, fmt.Sprintf("{\nadmin off\ngrace_period 1s\n}\n:%d {\nbind 127.0.0.1\n%s}\n", port, caddyIdle(origin, idle)))
}

func recommendedCaddy(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return caddyCommand(t, dir, recommended(t, "Caddyfile", "grace_period 5s\n", "grace_period 1s\nadmin off\n",
		"\n:8080 {", fmt.Sprintf("\n:%d {\nbind 127.0.0.1\n", port), "reverse_proxy 127.0.0.1:8000", caddyIdle(origin, idle)))
}

// varnishCommand is varnishd; its counters are read from dir.
func varnishCommand(t *testing.T, dir string, port int, idle time.Duration, args ...string) *exec.Cmd {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"varnishd", "/usr/sbin/varnishd"}, "apt-get install varnish")
	return exec.Command(program, append([]string{
		"-F", "-j", "none", "-n", dir, "-a", fmt.Sprintf("127.0.0.1:%d", port), "-s", "malloc,64m", "-p", "vsl_space=8M",
		"-p", fmt.Sprintf("between_bytes_timeout=%d", seconds(idle)),
	}, args...)...)
}

func plainVarnish(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	return varnishCommand(t, dir, port, idle, "-b", origin), ""
}

func recommendedVarnish(t *testing.T, dir string, port int, origin string, idle time.Duration) (*exec.Cmd, string) {
	host, at, _ := strings.Cut(origin, ":")
	text := recommended(t, "default.vcl", `.host = "127.0.0.1"`, fmt.Sprintf(`.host = %q`, host), `.port = "8000"`, fmt.Sprintf(`.port = %q`, at))
	file := filepath.Join(dir, "sluice.vcl")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return varnishCommand(t, dir, port, idle, "-f", file), text
}
