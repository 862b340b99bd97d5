package redisrig

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Single starts one server.
func Single(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := prepare(t, settingsOf(options), folder(t))
	s.begin(t)
	return s
}

// Shards starts n servers that know nothing of each other.
func Shards(t testing.TB, n int, options ...Option) []*Server {
	t.Helper()
	all := make([]*Server, n)
	for i := range all {
		all[i] = Single(t, options...)
	}
	return all
}

// shared is the server of Shared.
var shared struct {
	mu     sync.Mutex
	server *Server
}

// Shared returns a plain server that all tests of the process have in common: with keys and channels of a Prefix of their
// own they do not see each other. No test may stop it, change its configuration or delete what is not its own. It ends with
// the process.
func Shared(t testing.TB) *Server {
	t.Helper()
	NeedRedis(t)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		return shared.server
	}
	dir, err := os.MkdirTemp("", "redisrig")
	if err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	// It writes nothing, so nobody needs the folder once it runs.
	defer func() { _ = os.RemoveAll(dir) }()
	s := prepare(t, settings{}, dir)
	s.Start(t)
	shared.server = s
	return s
}

var prefixes atomic.Int64

// Prefix returns a name that no other call in any process returns: letters, digits and "_".
func Prefix(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("t%d_%d", os.Getpid(), prefixes.Add(1))
}
