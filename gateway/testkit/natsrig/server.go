package natsrig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
)

// Server is a nats-server.
type Server struct {
	// Immutable after it was started first.
	Addr    string // 127.0.0.1:port
	Port    int
	URL     string // nats://Addr
	Name    string
	data    string // folder of JetStream
	process *child.Process
	child.Control
}

// Option changes how servers are started.
type Option func(*settings)

type settings struct {
	core   bool
	lines  []string
	domain string
	store  string
}

func settingsOf(options []Option) settings {
	var s settings
	for _, o := range options {
		o(&s)
	}
	return s
}

// Core leaves JetStream out.
func Core() Option { return func(s *settings) { s.core = true } }

// Domain gives JetStream a domain.
func Domain(domain string) Option { return func(s *settings) { s.domain = domain } }

// Store is how much JetStream may keep, in memory and in files alike: "1MB".
func Store(most string) Option { return func(s *settings) { s.store = most } }

// Lines adds lines of the configuration.
func Lines(lines ...string) Option { return func(s *settings) { s.lines = append(s.lines, lines...) } }

// built is the server that is built from its module.
var built struct {
	once sync.Once
	path string
	err  error
}

// module is the server's, whose version go.mod has.
const module = "github.com/nats-io/nats-server/v2"

// Program returns the path of a nats-server of the version in go.mod, which it builds first.
func Program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		cache, err := os.UserCacheDir()
		if err != nil {
			built.err = err
			return
		}
		version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			built.err = fmt.Errorf("natsrig: go list -m %s: %w", module, err)
			return
		}
		dir := filepath.Join(cache, "sluice-natsrig")
		built.path = filepath.Join(dir, "nats-server-"+strings.TrimSpace(string(version)))
		if _, err := os.Stat(built.path); err == nil {
			return
		}
		if built.err = os.MkdirAll(dir, 0o700); built.err != nil {
			return
		}
		// Several test processes may build at once: each its own, of which the last stays.
		own := fmt.Sprintf("%s.%d", built.path, os.Getpid())
		if out, err := exec.Command("go", "build", "-o", own, module).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("natsrig: go build %s: %w: %s", module, err, out)
			return
		}
		built.err = os.Rename(own, built.path)
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

var names atomic.Int64

// Prefix returns a name that no other call in any process returns: letters, digits and "_".
func Prefix(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("t%d_%d", os.Getpid(), names.Add(1))
}

// Single starts one server, with JetStream.
func Single(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := prepare(t, Program(t), settingsOf(options), nil)
	s.Start(t)
	return s
}

// Limited starts one with a user who may subscribe to all but some subjects. URL has the user; deny is how the
// configuration says it, for Reload.
func Limited(t testing.TB, subjects ...string) (s *Server, deny string) {
	t.Helper()
	deny = Deny(subjects...)
	s = Single(t, Lines(`authorization { users = [ { user: u, password: p, permissions: { publish: ">", subscribe: { allow: ">", `+deny+` } } } ] }`))
	s.URL = strings.Replace(s.URL, "nats://", "nats://u:p@", 1)
	return s, deny
}

// Deny is how a configuration denies subjects.
func Deny(subjects ...string) string {
	list := make([]string, len(subjects))
	for i, subject := range subjects {
		list[i] = strconv.Quote(subject)
	}
	return "deny: [" + strings.Join(list, ", ") + "]"
}

// From starts a server with a configuration that says all, of which it needs to know the port of clients.
func From(t testing.TB, config string, port int) *Server {
	t.Helper()
	s := prepare(t, Program(t), settings{core: true}, nil)
	s.Addr, s.Port = fmt.Sprintf("127.0.0.1:%d", port), port
	s.URL = "nats://" + s.Addr
	if err := os.WriteFile(s.process.Args[1], []byte(config), 0o600); err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	s.Start(t)
	return s
}

// Debian starts the server of Debian's package (2.9), without JetStream if Core says so.
func Debian(t testing.TB, options ...Option) *Server {
	t.Helper()
	path := testkit.NeedProgram(t, []string{"nats-server", "/usr/sbin/nats-server"}, "apt-get install nats-server")
	s := prepare(t, path, settingsOf(options), nil)
	s.Start(t)
	return s
}

// prepare writes the configuration of a server.
func prepare(t testing.TB, program string, set settings, lines []string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "natsrig")
	if err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	port := testkit.FreePort(t)
	s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Port: port, Name: fmt.Sprintf("n%d", names.Add(1)), data: filepath.Join(dir, "jetstream")}
	s.URL = "nats://" + s.Addr
	config := []string{fmt.Sprintf("listen: %q", s.Addr), "server_name: " + s.Name, "max_payload: 8MB"}
	if !set.core {
		js := []string{fmt.Sprintf("store_dir: %q", s.data)}
		if set.domain != "" {
			js = append(js, "domain: "+set.domain)
		}
		if set.store != "" {
			js = append(js, "max_memory_store: "+set.store, "max_file_store: "+set.store)
		}
		config = append(config, "jetstream { "+strings.Join(js, "\n")+" }")
	}
	config = append(append(config, lines...), set.lines...)
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	s.process = &child.Process{Path: program, Dir: dir, Args: []string{"-c", file}}
	s.Control = s.process.Control()
	t.Cleanup(func() {
		if err := s.process.End(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start starts it, again after Stop or Kill, and waits until it listens.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.Begin(t)
	s.Await(t)
}

// Begin starts it and waits for nothing.
func (s *Server) Begin(t testing.TB) {
	t.Helper()
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
}

// Await waits until it listens.
func (s *Server) Await(t testing.TB) {
	t.Helper()
	ready := child.Within(child.Patience, func() bool {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return s.process.Ended()
		}
		_ = conn.Close()
		return true
	})
	if !ready || s.process.Ended() {
		t.Fatalf("natsrig: nats-server does not listen; its log ends\n%s", s.process.LogTail())
	}
}

// Copy copies the data of a server that does not run. The returned function puts the copy in the place of what it has
// then, when it does not run either.
func (s *Server) Copy(t testing.TB) (restore func()) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(kept, os.DirFS(s.data)); err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	return func() {
		t.Helper()
		s.Forget(t)
		if err := os.CopyFS(s.data, os.DirFS(kept)); err != nil {
			t.Fatalf("natsrig: %v", err)
		}
	}
}

// Forget removes the data of a server that does not run.
func (s *Server) Forget(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
}

// Reload replaces a part of the configuration of a server that runs, and has it read again.
func (s *Server) Reload(t testing.TB, old, new string) {
	t.Helper()
	file := s.process.Args[1]
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("natsrig: the configuration has no %q:\n%s", old, text)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// Log returns the end of what it said.
func (s *Server) Log() string { return s.process.LogTail() }

// Dial returns a connection of the test's own, which ends with it.
func (s *Server) Dial(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.URL, nats.Timeout(child.Patience))
	if err != nil {
		t.Fatalf("natsrig: %v; the log of the server ends\n%s", err, s.Log())
	}
	t.Cleanup(nc.Close)
	return nc
}
