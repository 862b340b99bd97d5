package redisrig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
)

// Server is a redis-server or a redis-sentinel.
type Server struct {
	// Immutable after it was started first.
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // path of its Unix socket; "" without Unix
	CA       string // path of the certificate that signed its own, as PEM; "" without TLS
	Password string // of the default user
	trust    *tls.Config
	process  *child.Process
	child.Control
}

// NeedRedis returns the path of redis-server. See testkit.NeedProgram.
func NeedRedis(t testing.TB) string {
	t.Helper()
	return testkit.NeedProgram(t, []string{"redis-server"}, "apt-get install redis-server")
}

// prepare writes what a server needs into its folder.
func prepare(t testing.TB, s settings, dir string, args ...string) *Server {
	t.Helper()
	path, port := NeedRedis(t), testkit.FreePort(t)
	server := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Port: port, Password: s.password}
	server.process = &child.Process{Path: path, Dir: dir, Args: append([]string{filepath.Join(dir, configName)}, args...)}
	server.Control = server.process.Control()
	if s.unix {
		server.Socket = filepath.Join(dir, socketName)
	}
	if s.tls {
		trust, err := writeCertificate(filepath.Join(dir, certName), filepath.Join(dir, keyName))
		if err != nil {
			t.Fatal(err)
		}
		server.CA, server.trust = filepath.Join(dir, certName), trust
	}
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(s.config(port, dir)), 0o600); err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	return server
}

// folder is a new one with a short name, since that of a socket must be short; it goes with the test.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redisrig")
	if err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// begin starts a server that was prepared and ends it with the test.
func (s *Server) begin(t testing.TB) {
	t.Helper()
	s.endWith(t)
	s.Start(t)
}

// endWith ends the server with the test.
func (s *Server) endWith(t testing.TB) {
	t.Cleanup(func() {
		if err := s.process.End(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of %s ends\n%s", s.Addr, s.process.LogTail())
		}
	})
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	if err := s.process.Start(); err != nil {
		return err
	}
	var err error
	ended := false
	ready := child.Within(child.Patience, func() bool {
		if ended = s.process.Ended(); ended {
			return true
		}
		_, err = s.Try("PING")
		return err == nil
	})
	if !ready || ended {
		return fmt.Errorf("redisrig: the server at %s does not answer: %w; its log ends\n%s",
			s.Addr, errors.Join(err, s.process.End(syscall.SIGKILL)), s.process.LogTail())
	}
	return nil
}

// Start starts a server that was stopped or killed, at the same address. It has what it wrote (see Persist).
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// StartEmpty is Start without data.
func (s *Server) StartEmpty(t testing.TB) {
	t.Helper()
	dir := s.process.Dir
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "appendonlydir")), os.RemoveAll(filepath.Join(dir, "dump.rdb"))); err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	s.Start(t)
}

// ReadOnly makes the server a replica of nobody that answers: it refuses writes with READONLY, and reads what it has.
func (s *Server) ReadOnly(t testing.TB) {
	t.Helper()
	s.Do(t, "REPLICAOF", "127.0.0.1", 1)
}

// Writable undoes ReadOnly.
func (s *Server) Writable(t testing.TB) {
	t.Helper()
	s.Do(t, "REPLICAOF", "NO", "ONE")
}

// KillPubSub cuts all connections that have subscriptions, and returns how many those were.
func (s *Server) KillPubSub(t testing.TB) int64 {
	t.Helper()
	return s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub").(int64)
}
