package redisrig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"sluice/gateway/testkit"
)

// SentinelSet is a master with a replica, and three sentinels that watch them.
type SentinelSet struct {
	// Immutable after it was started.
	Name      string    // of the master, as the sentinels know it
	Servers   []*Server // the first of them was the first master
	Sentinels []*Server
}

const sentinelQuorum = 2

// Sentinel starts a set. The sentinels call a server down after two seconds (on a busy machine one that is well may be silent for
// one) and agree on that by two. A password is that of the
// servers; that of the sentinels is SentinelPassword.
func Sentinel(t testing.TB, options ...Option) *SentinelSet {
	t.Helper()
	s := settingsOf(options)
	set := &SentinelSet{Name: "themaster"}
	for range 2 {
		set.Servers = append(set.Servers, prepare(t, s, folder(t)))
	}
	master, replica := set.Servers[0], set.Servers[1]
	replica.appendConfig(t, fmt.Sprintf("replicaof 127.0.0.1 %d", master.Port))
	bare := settings{tls: s.tls, password: s.sentinel}
	ids := make([]string, 3)
	for i := range ids {
		ids[i] = nodeID()
		set.Sentinels = append(set.Sentinels, prepare(t, bare, folder(t), "--sentinel"))
	}
	for i, sentinel := range set.Sentinels {
		lines := []string{
			fmt.Sprintf("sentinel myid %s", ids[i]),
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d %d", set.Name, master.Port, sentinelQuorum),
			fmt.Sprintf("sentinel down-after-milliseconds %s 2000", set.Name),
			fmt.Sprintf("sentinel failover-timeout %s 3000", set.Name),
		}
		if s.password != "" {
			lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %s", set.Name, s.password))
		}
		lines = append(lines, fmt.Sprintf("sentinel known-replica %s 127.0.0.1 %d", set.Name, replica.Port))
		for j, other := range set.Sentinels {
			if i != j {
				lines = append(lines, fmt.Sprintf("sentinel known-sentinel %s 127.0.0.1 %d %s", set.Name, other.Port, ids[j]))
			}
		}
		sentinel.sentinelConfig(t, bare, lines)
	}
	beginAll(t, slices.Concat(set.Servers, set.Sentinels))
	for _, sentinel := range set.Sentinels {
		// Why: on a busy machine a sentinel would think that its clock had jumped, and do nothing for 30 s.
		sentinel.Do(t, "SENTINEL", "DEBUG", "tilt-trigger", 60000, "info-period", 500, "publish-period", 200, "ping-period", 200)
	}
	set.awaitReady(t)
	return set
}

// sentinelConfig writes the configuration of a sentinel, which takes few of the options of a server.
func (s *Server) sentinelConfig(t testing.TB, set settings, lines []string) {
	t.Helper()
	text := fmt.Sprintf("bind 127.0.0.1\nprotected-mode no\ndir %s\n", s.process.Dir)
	if set.tls {
		text += fmt.Sprintf("port 0\ntls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients no\ntls-replication yes\n",
			s.Port, filepath.Join(s.process.Dir, certName), filepath.Join(s.process.Dir, keyName), filepath.Join(s.process.Dir, certName))
	} else {
		text += fmt.Sprintf("port %d\n", s.Port)
	}
	if set.password != "" {
		text += fmt.Sprintf("requirepass %s\nsentinel sentinel-pass %s\n", set.password, set.password)
	}
	if err := os.WriteFile(filepath.Join(s.process.Dir, configName), []byte(text), 0o600); err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	s.appendConfig(t, lines...)
}

// appendConfig adds lines to the configuration of a server that does not run.
func (s *Server) appendConfig(t testing.TB, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.process.Dir, configName), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("redisrig: %v", err)
	}
	for _, l := range lines {
		_, more := fmt.Fprintln(f, l)
		err = errors.Join(err, more)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("redisrig: %v", err)
	}
}

// beginAll begins servers at once.
func beginAll(t testing.TB, all []*Server) {
	t.Helper()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		s.endWith(t)
		wg.Go(func() { errs[i] = s.run() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// nodeID is an id as servers draw them.
func nodeID() string {
	return fmt.Sprintf("%016x%016x%08x", rand.Uint64(), rand.Uint64(), rand.Uint32())
}

// Addrs are the addresses of the sentinels.
func (set *SentinelSet) Addrs() []string {
	var all []string
	for _, s := range set.Sentinels {
		all = append(all, s.Addr)
	}
	return all
}

// Master is the server that the sentinels call the master, all of those that run.
func (set *SentinelSet) Master(t testing.TB) *Server {
	t.Helper()
	var master *Server
	testkit.Eventually(t, func() bool {
		master = set.master()
		return master != nil
	}, "the sentinels to agree on a master that says it is one")
	return master
}

// master is that of Master, nil while there is none.
func (set *SentinelSet) master() *Server {
	var named string
	for _, sentinel := range set.Sentinels {
		if sentinel.process.Ended() {
			continue
		}
		v, err := sentinel.Try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", set.Name)
		at, _ := v.([]any)
		if err != nil || len(at) != 2 || named != "" && named != fmt.Sprint(at[1]) {
			return nil
		}
		named = fmt.Sprint(at[1])
	}
	for _, s := range set.Servers {
		if fmt.Sprint(s.Port) == named && s.role() == "master" {
			return s
		}
	}
	return nil
}

// role is what the server says that it is: master, slave, or "".
func (s *Server) role() string {
	v, _ := s.Try("ROLE")
	if all, ok := v.([]any); ok && len(all) > 0 {
		return fmt.Sprint(all[0])
	}
	return ""
}

// Other is the server that is not this one.
func (set *SentinelSet) Other(s *Server) *Server {
	if set.Servers[0] == s {
		return set.Servers[1]
	}
	return set.Servers[0]
}

// Detach keeps the master from sending its replica anything more, until it is started again: what it acknowledges from here on
// is lost in a failover.
func (set *SentinelSet) Detach(t testing.TB) {
	t.Helper()
	master := set.Master(t)
	master.Do(t, "ACL", "SETUSER", "default", "-psync", "-sync")
	master.Do(t, "CLIENT", "KILL", "TYPE", "replica")
}

// Failover kills the master and waits until the sentinels have made the replica the master. It returns both: old does not
// run, and becomes a replica of the other once it is started.
func (set *SentinelSet) Failover(t testing.TB) (old, master *Server) {
	t.Helper()
	old = set.Master(t)
	old.Kill(t)
	return old, set.AwaitOther(t, old)
}

// AwaitOther waits until another server than old is the master, and returns it.
func (set *SentinelSet) AwaitOther(t testing.TB, old *Server) *Server {
	t.Helper()
	want := set.Other(old)
	testkit.Eventually(t, func() bool { return set.master() == want }, "the sentinels to fail over")
	return want
}

// awaitReady waits until the replica follows and each sentinel knows it and the other sentinels.
func (set *SentinelSet) awaitReady(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		v, err := set.Servers[1].Try("ROLE")
		role, _ := v.([]any)
		return err == nil && len(role) > 3 && role[3] == "connected"
	}, "the replica to follow its master")
	for _, s := range set.Sentinels {
		testkit.Eventually(t, func() bool {
			// OK means that the quorum and the majority can be reached.
			_, err := s.Try("SENTINEL", "CKQUORUM", set.Name)
			v, more := s.Try("SENTINEL", "REPLICAS", set.Name)
			all, _ := v.([]any)
			return err == nil && more == nil && len(all) == 1 && field(all[0], "master-link-status") == "ok"
		}, "the sentinels to see all servers")
	}
	set.Master(t)
}

// field is the value of a name in a flat list of pairs.
func field(v any, name string) any {
	pairs, _ := v.([]any)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return nil
}
