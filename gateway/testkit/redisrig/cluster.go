package redisrig

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/tcpproxy"
)

// RedisCluster is three masters of a Redis Cluster, with replicas if asked for.
type RedisCluster struct {
	// Immutable after it was started.
	Masters  []*Server         // those that began as such, with a third of the slots each
	Replicas [][]*Server       // of each master
	Proxies  []*tcpproxy.Proxy // before each master; nil without Proxied
	ids      map[*Server]string
}

const (
	clusterMasters = 3
	slots          = 16384
)

// Cluster starts one and waits until each server knows that all slots are served. Servers call another down after three
// seconds.
func Cluster(t testing.TB, options ...Option) *RedisCluster {
	t.Helper()
	s := settingsOf(options)
	s.lines = append([]string{"cluster-enabled yes", "cluster-node-timeout 3000"}, s.lines...)
	c := &RedisCluster{ids: make(map[*Server]string)}
	bus := make(map[*Server]int)
	member := func() *Server {
		server := prepare(t, s, folder(t))
		c.ids[server], bus[server] = nodeID(), testkit.FreePort(t)
		server.appendConfig(t, fmt.Sprintf("cluster-port %d", bus[server]))
		return server
	}
	for range clusterMasters {
		m := member()
		c.Masters = append(c.Masters, m)
		var replicas []*Server
		for range s.replicas {
			replicas = append(replicas, member())
		}
		c.Replicas = append(c.Replicas, replicas)
		if s.proxied {
			p := tcpproxy.New(t, m.Addr)
			c.Proxies = append(c.Proxies, p)
			announce := "cluster-announce-port"
			if s.tls {
				announce = "cluster-announce-tls-port"
			}
			m.appendConfig(t, fmt.Sprintf("%s %d", announce, p.Port))
		}
	}
	founders := c.writeNodes(t, bus)
	beginAll(t, c.all())
	c.found(t, founders)
	return c
}

// all are masters and replicas.
func (c *RedisCluster) all() []*Server {
	return slices.Concat(append([][]*Server{c.Masters}, c.Replicas...)...)
}

// writeNodes writes what each server believes of the others. Why in this way: a master that has just started serves nothing
// for two seconds, a replica that takes the slots of its master over serves at once. So all begin as replicas of founders,
// masters that never ran, whose ids it returns.
func (c *RedisCluster) writeNodes(t testing.TB, bus map[*Server]int) (founders []string) {
	t.Helper()
	var lines []string
	describe := make(map[*Server]string)
	for i, m := range c.Masters {
		founder := nodeID()
		founders = append(founders, founder)
		first, last := i*slots/clusterMasters, (i+1)*slots/clusterMasters-1
		lines = append(lines, fmt.Sprintf("%s 127.0.0.1:1@1 master - 0 0 %d connected %d-%d", founder, i+1, first, last))
		for _, s := range append([]*Server{m}, c.Replicas[i]...) {
			describe[s] = fmt.Sprintf("%s 127.0.0.1:%d@%d %%sslave %s 0 0 %d connected", c.ids[s], s.Port, bus[s], founder, i+1)
		}
	}
	for me := range describe {
		text := slices.Clone(lines)
		for s, format := range describe {
			myself := ""
			if s == me {
				myself = "myself,"
			}
			text = append(text, fmt.Sprintf(format, myself))
		}
		text = append(text, fmt.Sprintf("vars currentEpoch %d lastVoteEpoch 0\n", clusterMasters))
		if err := os.WriteFile(filepath.Join(me.process.Dir, "nodes.conf"), []byte(strings.Join(text, "\n")), 0o600); err != nil {
			t.Fatalf("redisrig: %v", err)
		}
	}
	return founders
}

// found makes the masters take the slots over, and all forget the founders.
func (c *RedisCluster) found(t testing.TB, founders []string) {
	t.Helper()
	for _, s := range c.all() {
		testkit.Eventually(t, func() bool {
			return s.stateOK() && c.links(t, s) == len(c.all())
		}, "the servers of a cluster to see each other")
	}
	for _, m := range c.Masters {
		m.Do(t, "CLUSTER", "FAILOVER", "TAKEOVER")
	}
	for _, s := range c.all() {
		c.awaitOwners(t, s)
	}
	for i, replicas := range c.Replicas {
		for _, r := range replicas {
			r.Do(t, "CLUSTER", "REPLICATE", c.ids[c.Masters[i]])
		}
	}
	for _, s := range c.all() {
		for _, f := range founders {
			s.Do(t, "CLUSTER", "FORGET", f)
		}
	}
	c.awaitReplicas(t)
}

// awaitReplicas waits until each replica follows its master.
func (c *RedisCluster) awaitReplicas(t testing.TB) {
	t.Helper()
	for _, r := range slices.Concat(c.Replicas...) {
		testkit.Eventually(t, func() bool {
			v, _ := r.Try("ROLE")
			role, _ := v.([]any)
			return len(role) > 3 && role[0] == "slave" && role[3] == "connected"
		}, "a replica of the cluster to follow its master")
	}
}

// stateOK reports whether the server serves its slots.
func (s *Server) stateOK() bool {
	v, err := s.Try("CLUSTER", "INFO")
	text, _ := v.(string)
	return err == nil && strings.Contains(text, "cluster_state:ok")
}

// links counts the servers of the cluster, itself included, that a server is connected to.
func (c *RedisCluster) links(t testing.TB, s *Server) (n int) {
	t.Helper()
	for _, line := range strings.Split(s.Do(t, "CLUSTER", "NODES").(string), "\n") {
		f := strings.Fields(line)
		if len(f) > 7 && f[7] == "connected" && !strings.HasPrefix(f[1], "127.0.0.1:1@") {
			n++
		}
	}
	return n
}

// awaitOwners waits until a server knows that the masters have all slots, and who has which.
func (c *RedisCluster) awaitOwners(t testing.TB, s *Server) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		ranges, err := s.Try("CLUSTER", "SLOTS")
		all, _ := ranges.([]any)
		owners := make(map[string]bool)
		for _, r := range all {
			owners[ownerOf(r)] = true
		}
		for _, m := range c.Masters {
			if !owners[c.ids[m]] {
				return false
			}
		}
		return err == nil && len(owners) == len(c.Masters) && s.stateOK()
	}, "the slots to have masters")
}

// ownerOf is the id of the master in an entry of CLUSTER SLOTS.
func ownerOf(entry any) string {
	e, _ := entry.([]any)
	if len(e) < 3 {
		return ""
	}
	master, _ := e[2].([]any)
	if len(master) < 3 {
		return ""
	}
	return fmt.Sprint(master[2])
}

// Addrs are the addresses of the masters, or of the proxies before them.
func (c *RedisCluster) Addrs() []string {
	var all []string
	for i, m := range c.Masters {
		if c.Proxies != nil {
			all = append(all, c.Proxies[i].Addr)
		} else {
			all = append(all, m.Addr)
		}
	}
	return all
}
