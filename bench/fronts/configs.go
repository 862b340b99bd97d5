package fronts

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func plainNginx(program string, s Setup) (*exec.Cmd, string, error) {
	return Nginx(program, s.Dir, fmt.Sprintf("proxy_read_timeout %ds; server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; } }",
		s.idle(), s.Port, s.Origin))
}

func nginx(program string, s Setup) (*exec.Cmd, string, error) {
	limit := fmt.Sprintf("proxy_read_timeout %ds;", s.idle())
	text, err := s.recommended("nginx.conf", "server 127.0.0.1:8000;", "server "+s.Origin+";",
		"listen 8080;", fmt.Sprintf("listen 127.0.0.1:%d;", s.Port),
		"proxy_read_timeout 60s;   ", limit+"   ", "proxy_read_timeout 30s;\n", limit+"\n",
		"access_log /var/log/nginx/", "access_log "+s.Dir+"/", "error_log /var/log/nginx/", "error_log "+s.Dir+"/")
	if err != nil {
		return nil, "", err
	}
	return Nginx(program, s.Dir, text)
}

// Nginx is nginx with servers, the inside of its http section, and its files in dir: logs
// go to access.log and stderr where servers name no others.
func Nginx(program, dir, servers string) (cmd *exec.Cmd, text string, err error) {
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	text = fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr warn;\nworker_rlimit_nofile 16384;\nevents { worker_connections 8192; }\nhttp {\naccess_log %[1]s/access.log;\n%[2]s%[3]s\n}\n", dir, &temp, servers)
	file, err := Setup{Dir: dir}.write("nginx.conf", text)
	return exec.Command(program, "-p", dir, "-e", "stderr", "-c", file), text, err
}

func plainHAProxy(program string, s Setup) (*exec.Cmd, string, error) {
	return runHAProxy(program, s, fmt.Sprintf(`
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
`, s.idle(), s.Port, s.Origin))
}

func haproxy(program string, s Setup) (*exec.Cmd, string, error) {
	text, err := s.recommended("haproxy.cfg", "maxconn 200000", "maxconn 5000",
		"    bind :8080\n", fmt.Sprintf("    bind 127.0.0.1:%d\n", s.Port), "server sluice-1 127.0.0.1:8000", "server sluice-1 "+s.Origin,
		"timeout client 60s", fmt.Sprintf("timeout client %ds", s.idle()),
		"timeout server 60s", fmt.Sprintf("timeout server %ds", s.idle()))
	if err != nil {
		return nil, "", err
	}
	return runHAProxy(program, s, text)
}

func runHAProxy(program string, s Setup, text string) (*exec.Cmd, string, error) {
	file, err := s.write("haproxy.cfg", text)
	return exec.Command(program, "-db", "-f", file), text, err
}

// caddyIdle is what Caddy has no default for: how long it waits for bytes of the gateway.
func (s Setup) caddyIdle() string {
	return fmt.Sprintf("reverse_proxy %s {\ntransport http {\nread_timeout %ds\n}\n}\n", s.Origin, s.idle())
}

// plainCaddy does not wait for streams when it ends, which it would do for ever.
func plainCaddy(program string, s Setup) (*exec.Cmd, string, error) {
	return Caddy(program, s.Dir, fmt.Sprintf("{\nadmin off\ngrace_period 1s\n}\n:%d {\nbind 127.0.0.1\n%s}\n", s.Port, s.caddyIdle()))
}

func caddy(program string, s Setup) (*exec.Cmd, string, error) {
	text, err := s.recommended("Caddyfile", "grace_period 5s\n", "grace_period 1s\nadmin off\n",
		"\n:8080 {", fmt.Sprintf("\n:%d {\nbind 127.0.0.1\n", s.Port), "reverse_proxy 127.0.0.1:8000", s.caddyIdle())
	if err != nil {
		return nil, "", err
	}
	return Caddy(program, s.Dir, text)
}

// Caddy is Caddy with a Caddyfile, and its files in dir.
func Caddy(program, dir, text string) (*exec.Cmd, string, error) {
	file, err := Setup{Dir: dir}.write("Caddyfile", text)
	cmd := exec.Command(program, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return cmd, text, err
}

func plainVarnish(program string, s Setup) (*exec.Cmd, string, error) {
	return runVarnish(program, s, "-b", s.Origin), "", nil
}

func varnish(program string, s Setup) (*exec.Cmd, string, error) {
	host, port, _ := strings.Cut(s.Origin, ":")
	text, err := s.recommended("default.vcl", `.host = "127.0.0.1"`, fmt.Sprintf(`.host = %q`, host), `.port = "8000"`, fmt.Sprintf(`.port = %q`, port))
	if err != nil {
		return nil, "", err
	}
	file, err := s.write("sluice.vcl", text)
	return runVarnish(program, s, "-f", file), text, err
}

// runVarnish is varnishd; its counters and log are read from s.Dir.
func runVarnish(program string, s Setup, args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{
		"-F", "-j", "none", "-n", s.Dir, "-a", fmt.Sprintf("127.0.0.1:%d", s.Port), "-s", "malloc,64m",
		"-p", fmt.Sprintf("between_bytes_timeout=%d", s.idle()),
	}, args...)...)
}
