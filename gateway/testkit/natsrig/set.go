package natsrig

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
	"sluice/gateway/testkit/tcpproxy"
)

// Set is a cluster.
type Set struct{ Servers []*Server }

// Cluster starts n servers that are a cluster with JetStream, and waits until that has a leader.
func Cluster(t testing.TB, n int, options ...Option) *Set {
	t.Helper()
	program := Program(t)
	ports := make([]int, n)
	var routes []string
	for i := range ports {
		ports[i] = testkit.FreePort(t)
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", ports[i]))
	}
	set := &Set{}
	for i := range n {
		s := prepare(t, program, settingsOf(options), []string{
			fmt.Sprintf("cluster { name: rig, listen: \"127.0.0.1:%d\", routes: [%s] }", ports[i], strings.Join(routes, ", ")),
		})
		set.Servers = append(set.Servers, s)
	}
	for _, s := range set.Servers {
		s.Begin(t)
	}
	for _, s := range set.Servers {
		s.Await(t)
	}
	set.AwaitLeader(t)
	return set
}

// URL names all servers.
func (set *Set) URL() string {
	var all []string
	for _, s := range set.Servers {
		all = append(all, s.URL)
	}
	return strings.Join(all, ",")
}

// AwaitLeader waits until JetStream answers, and all members that run are known.
func (set *Set) AwaitLeader(t testing.TB) {
	t.Helper()
	nc, err := nats.Connect(set.URL(), nats.Timeout(child.Patience))
	if err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	ready := child.Within(child.Patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		name := Prefix(t)
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.MemoryStorage, Replicas: len(set.Servers)})
		if err == nil {
			err = js.DeleteStream(ctx, name)
		}
		return err == nil
	})
	if !ready {
		t.Fatalf("natsrig: the cluster has no leader: %v; the log of a server ends\n%s", err, set.Servers[0].Log())
	}
}

// Leader returns the server that leads a stream.
func (set *Set) Leader(t testing.TB, stream string) *Server {
	t.Helper()
	var leader *Server
	var last error
	if !child.Within(child.Patience, func() bool {
		for _, s := range set.Servers {
			if s.process.Ended() {
				continue
			}
			nc, err := nats.Connect(s.URL)
			if err != nil {
				last = err
				continue
			}
			js, err := jetstream.New(nc)
			if err == nil {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				var one jetstream.Stream
				if one, err = js.Stream(ctx, stream); err == nil {
					for _, s := range set.Servers {
						if info := one.CachedInfo(); info.Cluster != nil && info.Cluster.Leader == s.Name {
							leader = s
						}
					}
				}
				cancel()
			}
			nc.Close()
			last = err
			if leader != nil {
				return true
			}
		}
		return false
	}) {
		t.Fatalf("natsrig: stream %s has no leader: %v", stream, last)
	}
	return leader
}

// LeafSet is a hub with JetStream, and a leaf node whose way to it can be cut.
type LeafSet struct {
	Hub, Leaf *Server
	Way       *tcpproxy.Proxy
}

// HubDomain is the domain of the JetStream of a hub.
const HubDomain = "hub"

// Leaf starts a hub with JetStream and a leaf node without. What is asked at the leaf names the hub's domain: a server
// without JetStream answers for itself that it has none.
func Leaf(t testing.TB, options ...Option) *LeafSet {
	t.Helper()
	program, port := Program(t), testkit.FreePort(t)
	hub := prepare(t, program, settingsOf(append(options, Domain(HubDomain))), []string{fmt.Sprintf("leafnodes { listen: \"127.0.0.1:%d\", no_advertise: true }", port)})
	hub.Start(t)
	way := tcpproxy.New(t, fmt.Sprintf("127.0.0.1:%d", port))
	leaf := prepare(t, program, settings{core: true}, []string{
		fmt.Sprintf("leafnodes { reconnect: 1s, remotes: [ { url: \"nats-leaf://%s\" } ] }", way.Addr),
	})
	leaf.Start(t)
	set := &LeafSet{hub, leaf, way}
	nc := leaf.Dial(t)
	js, err := jetstream.NewWithDomain(nc, HubDomain)
	if err != nil {
		t.Fatalf("natsrig: %v", err)
	}
	if !child.Within(child.Patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = js.AccountInfo(ctx)
		return err == nil
	}) {
		t.Fatalf("natsrig: the leaf does not reach its hub: %v; its log ends\n%s", err, leaf.Log())
	}
	return set
}

// Cut ends the connection of the leaf to its hub and lets none be made until Mend.
func (set *LeafSet) Cut(t testing.TB) {
	t.Helper()
	set.Way.Refuse(t, true)
	set.Way.Cut()
}

// Mend lets the leaf reach its hub again.
func (set *LeafSet) Mend(t testing.TB) {
	t.Helper()
	set.Way.Refuse(t, false)
}
