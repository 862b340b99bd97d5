package redisrig

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Option changes how servers are started.
type Option func(*settings)

type settings struct {
	tls      bool
	unix     bool
	persist  bool
	proxied  bool
	replicas int
	password string
	lines    []string
	sentinel string // the password of sentinels
}

func settingsOf(options []Option) settings {
	var s settings
	for _, o := range options {
		o(&s)
	}
	return s
}

// TLS makes servers listen with TLS only; Server.CA is who signed their certificates. They ask clients for none.
func TLS() Option { return func(s *settings) { s.tls = true } }

// Password is what the default user must give (requirepass).
func Password(password string) Option { return func(s *settings) { s.password = password } }

// SentinelPassword is what sentinels want to be given, by each other too.
func SentinelPassword(password string) Option { return func(s *settings) { s.sentinel = password } }

// User adds a user, by a rule of the ACL: "alice on >secret ~* &* +@all".
func User(rule string) Option { return Lines("user " + rule) }

// Unix makes a server listen on a Unix socket, too: Server.Socket.
func Unix() Option { return func(s *settings) { s.unix = true } }

// Persist makes servers write what they acknowledge (appendonly), so that Start after Kill finds all of it.
func Persist() Option { return func(s *settings) { s.persist = true } }

// Lines adds lines of redis.conf, which hold against those of the rig.
func Lines(lines ...string) Option {
	return func(s *settings) { s.lines = append(s.lines, lines...) }
}

// Replicas gives each master of a Cluster so many replicas.
func Replicas(n int) Option { return func(s *settings) { s.replicas = n } }

// Proxied puts a proxy before each master of a Cluster, which announces its proxy's port to clients.
func Proxied() Option { return func(s *settings) { s.proxied = true } }

const (
	configName = "redis.conf"
	certName   = "server.pem"
	keyName    = "server.key"
	socketName = "s"
)

// config is the text of redis.conf for a server on a port.
func (s settings) config(port int, dir string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("bind 127.0.0.1")
	line("protected-mode no")
	line("enable-debug-command yes")
	line("dir %s", dir)
	line(`save ""`)
	line("shutdown-timeout 0")
	line("repl-diskless-sync-delay 0")
	if s.persist {
		// Why no fsync: what was written survives the process, and only the process dies here.
		line("appendonly yes")
		line("appendfsync no")
	}
	if s.tls {
		line("port 0")
		line("tls-port %d", port)
		line("tls-cert-file %s", filepath.Join(dir, certName))
		line("tls-key-file %s", filepath.Join(dir, keyName))
		line("tls-ca-cert-file %s", filepath.Join(dir, certName))
		line("tls-auth-clients no")
		line("tls-replication yes")
		line("tls-cluster yes")
	} else {
		line("port %d", port)
	}
	if s.unix {
		line("unixsocket %s", filepath.Join(dir, socketName))
	}
	if s.password != "" {
		line("requirepass %s", s.password)
		line("masterauth %s", s.password)
	}
	for _, l := range s.lines {
		line("%s", l)
	}
	return b.String()
}
